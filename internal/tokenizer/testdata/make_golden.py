"""Writes the golden files of internal/tokenizer: small tokenizers of every
supported kind, and what the reference implementation makes of tricky texts.

    pip install tokenizers==0.23.3
    python3 make_golden.py            # in this directory; writes golden/

Everything is made here, from the sentences below; no published vocabulary is
involved. The output depends on the package version only (fixed seeds).
Per tokenizer: golden/NAME.json (a tokenizer.json) and golden/NAME.vectors.json:

    prefix, suffix   what add_special_tokens=True puts around every text
    ids              per text of texts.json, without special tokens
    decoded          {index: text} where decoding ids does not give the text back
    skipped          {index: text} where skip_special_tokens=True changes that

golden/spans.json.gz holds, per tokenizer and text, the start and the end of each
token in characters of the text: [s0, e0, s1, e1, ...].
"""

import gzip
import json
import pathlib
import random
import unicodedata

from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers

GPT2 = r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"
LLAMA3 = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
QWEN2 = LLAMA3.replace(r"\p{N}{1,3}", r"\p{N}")
QWEN35 = QWEN2.replace(r"?\p{L}+", r"?[\p{L}\p{M}]+").replace(r"[^\s\p{L}\p{N}]+", r"[^\s\p{L}\p{M}\p{N}]+")
# Not one of the four: goes to the general regex engine.
OTHER = r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+(?i:'s|'t|'re|'ve|'m|'ll|'d)?|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+"

CORPUS = """The quick brown fox jumps over the lazy dog; the dog didn't mind, it's asleep and they'll wait.
All human beings are born free and equal in dignity and rights, and we've said so since 1948.
Todos los seres humanos nacen libres e iguales en dignidad y derechos; ¿verdad que sí?
Alle Menschen sind frei und gleich an Würde und Rechten geboren, größer als je zuvor.
Все люди рождаются свободными и равными в своём достоинстве и правах.
सभी मनुष्यों को गौरव और अधिकारों के मामले में जन्मजात स्वतन्त्रता और समानता प्राप्त है।
يولد جميع الناس أحرارًا متساوين في الكرامة والحقوق.
Watu wote wamezaliwa huru, hadhi na haki zao ni sawa.
人人生而自由，在尊严和权利上一律平等。
Bütün insanlar hür, haysiyet ve haklar bakımından eşit doğarlar.
すべての人間は、生まれながらにして自由であり、平等である。
모든 인간은 태어날 때부터 자유로우며 그 존엄과 권리에 있어 동등하다.
ሰው፡ሁሉ፡ሲወለድ፡ነጻና፡በክብርና፡በመብትም፡እኩልነት፡ያለው፡ነው።
for (int i = 0; i < 100; i++) {\n\tprintf("%d %s\\n", i, name[i]);\n}\r\n\r\n    return 3.14159;
""".replace("\\n", "\n").replace("\\r", "\r").replace("\\t", "\t").splitlines(keepends=True)

HAND = [
    "", " ", "  ", "   ", "\n", "\r\n", "\t", "\n\n\n", " \n", "\n ", "  \n  ", "\r", "\r\r\n", "a", " a", "a ", "  a  ",
    "hello", "Hello, world!", " Hello  world ", "don't", "DON'T", "I'M he'LL they'Ve we'D it'S", "'s", "'S", "' s", "''s",
    "'ſ", "it'ſ", "'ll", "'lL", "'l", "'re're", "x's y't z're", "'sfoo", "'tis", "\u2019s it\u2019s",
    "0", "12", "123", "1234", "12345678", " 1 22 333 4444", "a1b22c333", "3.14159", "1,000,000", "１２３４", "٣٤٥", "Ⅷ ½ ² ৪",
    "x²+y²=z²", "a\u00a0b", "a\u2003b", "a\u3000b", "a\u200bb", "a\u2028b\u2029c", "\u0085x", "\ufeffbom", "a\x0bb\x0cc",
    "\x00", "a\x00b", "\x1f\x7f\x80", "tab\tseparated\tvalues", "trailing   ", "   leading", "a  b   c    d", "a \n b", "a\n\nb",
    "line1\r\nline2\r\n", "x \r\n\r\n y", "!\n", "!!!\n\n", "?\r\n?", " !\n x", "...\n", "a.\n\n\nb", "\n\n a", "\t\t\tx", " \t \t",
    "¿Qué?", "naïve café", "nai\u0308ve cafe\u0301", "\u0301", "a\u0301\u0302\u0303", " \u0301x", "e\u0301e\u0301", "\u1100\u1161\u11a8",
    "각", "Å \u212b A\u030a", "ﬁ ﬀ ſt", "ǅ ǈ", "Straße STRASSE ẞ", "İstanbul ıI", "ΑΒΓ αβγς", "привет мир", "ёлка Й и\u0306",
    "हिन्दी में", "क्षत्रिय", "नमस्ते दुनिया।", "ไทยภาษา", "ភាសាខ្មែរ", "မြန်မာ", "தமிழ்", "বাংলা ভাষা", "עברית שָׁלוֹם", "العربية مُحَمَّد",
    "فارسی\u200cنویسی", "中文分词", "中文 English 混合123", "。，！？", "日本語テスト", "ｶﾀｶﾅ", "한국어", "አማርኛ፡ነው።", "ᚠᛇᚻ", "ꓘꓨ",
    "🙂", "🙂🙂", "a🙂b", "👨‍👩‍👧‍👦", "👍🏽", "🇩🇪🇫🇷", "❤️", "☺︎", "🏴󠁧󠁢󠁥󠁮󠁧󠁿", "1️⃣2️⃣", "𝕳𝖊𝖑𝖑𝖔", "𐍈", "𠮷野家", "\U0010ffff", "\ue000", "\ufffd", "\ufffe",
    "<|endoftext|>", "a<|endoftext|>b", " <|endoftext|> ", "<|endoftext|><|endoftext|>", "<|endoftext", "<|endoftext|", "endoftext|>",
    "<s>", "</s>", "<s>hello</s>", "a <s> b", "<unk>", "<s", "<<s>>", "<0x41>", "<0xE4>", "<0xe4>", "<pad>", "[MASK]", "a [MASK] b", "a[MASK]b", "  [MASK]  ",
    "[LEFT]", "a  [LEFT]  b", "[RIGHT]", "a  [RIGHT]  b", "[RIGHT]  [LEFT]", "[RIGHT]\n [LEFT] [MASK]", "word", "a word b", "sword", "wordy", "word word", "word,word", "_word", "word1", "wordword",
    "<think>x</think>", "Café", "Cafe\u0301", "xCafé", "▁", "▁a", "a▁b", " ▁ ", "▁▁▁", "a   ▁b", "\n\n\n\n", "Ġ", "Ċ", "ĠĠ", "aĠb", "Ā", "ł Ń",
    "the the the", "Todos los", "TheQuickBrownFox", "camelCaseWord", "snake_case_word", "kebab-case", "http://example.com/a?b=c&d=%20", "a@b.co", "C:\\x\\y",
    "if (x<3) { y+=\"z\"; }", "for(;;)\n\t{\n\t}\n", "/* c */ // d", "#!/bin/sh", "$100.00", "100%", "a--b", "——", "…", "“quoted” ‘single’", "«guillemets»",
    "(((", ")))", "[]{}", "+-*/=", "~`^|", "!@#$%^&*()", "a/b/c", "a.b.c", "a, b, c", "A.B.C.", "U.S.A", "e.g. i.e.", "Mr. O'Neill's", "rock 'n' roll", "y'all'd've",
    "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
    "abababababababababababababababababababababababababababababababab", "inininininthethethe", "    \n    \n    x", " " * 40 + "x", "\n" * 20, "ha" * 30,
    # NFC: marks newer than Unicode 9, and characters that share low 16 bits with composing ones.
    "a\u0345\u1df6b", "a\u1ac1\u0301", "\U00011935\U00011930", "\U00020041\u0301", "\U00010061\u0301x", "\U00011099\U000110ba", "\U0001d15e\u0334", "q\u0307\u0323", "\uac00\u11a8",
    "freedom", "free dom", "dignity and rights", "zzfreedomzz",
    # NFC beyond 30 marks in a row: out of order, composing at a distance, without a starter, of two classes, and in Hangul.
    "a" + "\u0301" * 31, "x" + "\u0323\u0301" * 20 + "y", "e" + "\u0323" * 33 + "\u0302 o", "\u0301" * 40, "a" + "\u05b0" * 16 + "\u0316" * 20 + "\u0301" * 3,
    "\u1100\u1161\u11a8" + "\u0301" * 31, "q" + "\u0344" * 12 + "z", "a" + "\u0301" * 15 + "\u1df6" + "\u0323" * 20,
]


def random_texts(rng, n):
    """Strings from adversarial alphabets: white space, contractions, marks, digits, tokens."""
    atoms = [" ", " ", "  ", "\n", "\r\n", "\t", "\u00a0", "\u3000", "'", "'s", "'LL", "ſ", "'ſ", "a", "the", "Z", "é", "e\u0301", "\u0301", "\u0323",
             "ß", "Ж", "ж", "中", "文", "あ", "हि", "\u094d", "ع", "\u064e", "한", "1", "23", "٣", "½", ".", ",", "!", "-", "_", "/", "🙂", "\u200d", "👩", "\ufe0f",
             "▁", "Ġ", "<s>", "</s>", "<|endoftext|>", "[MASK]", "[LEFT]", "[RIGHT]", "word", "<0x0A>", "\x00", "\x85", "\u2028"]
    return ["".join(rng.choice(atoms) for _ in range(rng.randint(1, 14))) for _ in range(n)]


def train(pre, vocab, normalizer=None, specials=(), alphabet=(), **model):
    t = Tokenizer(models.BPE(**model))
    if normalizer is not None:
        t.normalizer = normalizer
    if pre is not None:
        t.pre_tokenizer = pre
    t.train_from_iterator(CORPUS, trainers.BpeTrainer(
        vocab_size=vocab, special_tokens=list(specials), initial_alphabet=list(alphabet), show_progress=False))
    return t


def byte_level(pre, vocab=480, **kw):
    t = train(pre, vocab, alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()), **kw)
    t.decoder = decoders.ByteLevel()
    t.post_processor = processors.ByteLevel(trim_offsets=False)
    return t


def split(pattern):
    return pre_tokenizers.Sequence([pre_tokenizers.Split(Regex(pattern), "isolated"),
                                    pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)])


def bos(t, token):
    return processors.TemplateProcessing(single=f"{token} $A", pair=f"{token} $A {token} $B", special_tokens=[(token, t.token_to_id(token))])


def edit(t, f):
    """Changes the JSON that the Python classes do not reach."""
    d = json.loads(t.to_str())
    f(d)
    return Tokenizer.from_str(json.dumps(d))


def sentencepiece(vocab, **kw):
    """A Llama-2-style model: <unk> <s> </s>, 256 byte tokens, then pieces."""
    specials = ["<unk>", "<s>", "</s>"] + [f"<0x{b:02X}>" for b in range(256)]
    t = train(kw.pop("pre", None), vocab, normalizer=kw.pop("normalizer"), specials=specials, unk_token="<unk>", byte_fallback=True, fuse_unk=True)

    def clean(d):
        d["added_tokens"] = d["added_tokens"][:3]
        # Cut rare characters from the vocabulary, so that byte fallback works.
        rare = {k for k in d["model"]["vocab"] if any(ord(c) > 0x2fff and c not in "人自由" for c in k)}
        keep = [k for k in d["model"]["vocab"] if k not in rare]
        d["model"]["vocab"] = {k: i for i, k in enumerate(keep)}
        d["model"]["merges"] = [m for m in d["model"]["merges"] if "".join(m) not in rare]
    return edit(t, clean)


def strings(d):
    """Merges in the older form."""
    d["model"]["merges"] = [" ".join(m) for m in d["model"]["merges"]]


def gpt2():
    t = byte_level(pre_tokenizers.ByteLevel(add_prefix_space=False))
    t.add_special_tokens(["<|endoftext|>"])
    return t


def gpt2_prefix():
    t = byte_level(pre_tokenizers.ByteLevel(add_prefix_space=True), vocab=400)
    t.add_special_tokens(["<|endoftext|>", AddedToken("[MASK]", lstrip=True, special=True, normalized=False)])
    return t


def llama3():
    t = byte_level(split(LLAMA3))

    def whole(d):
        # Words that no merges lead to: only ignore_merges finds them.
        d["model"]["ignore_merges"] = True
        for w in ["Ġdignity", "freedom", "ĠâĢľ", "ä¸Ńæĸĩ", "123"]:
            d["model"]["vocab"].setdefault(w, len(d["model"]["vocab"]))
    t = edit(t, whole)
    t.add_special_tokens(["<s>", "</s>", "<|endoftext|>"])
    t.post_processor = processors.Sequence([processors.ByteLevel(trim_offsets=False), bos(t, "<s>")])
    return t


def qwen2():
    t = byte_level(split(QWEN2), normalizer=normalizers.NFC())
    t.add_special_tokens(["<|endoftext|>"])
    t.add_tokens([AddedToken("<think>", normalized=False), AddedToken("</think>", normalized=False), AddedToken("Cafe\u0301", normalized=True)])
    return t


def qwen35():
    t = byte_level(split(QWEN35), normalizer=normalizers.NFC())
    t.add_special_tokens(["<|endoftext|>"])
    return t


def smollm2():
    t = byte_level(pre_tokenizers.Sequence([pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(add_prefix_space=False)]))
    t.add_special_tokens(["<|endoftext|>", "<s>"])
    return t


def other_regex():
    t = byte_level(split(OTHER), vocab=400)
    t.add_special_tokens(["<|endoftext|>"])
    return t


def flags():
    """Every flag of added tokens, special or not, and Contiguous digits."""
    t = byte_level(pre_tokenizers.Sequence([pre_tokenizers.Digits(individual_digits=False), pre_tokenizers.ByteLevel(add_prefix_space=False)]), vocab=300)
    t.add_special_tokens([AddedToken("[LEFT]", lstrip=True, normalized=False, special=True), AddedToken("[RIGHT]", rstrip=True, normalized=False, special=True)])
    t.add_tokens([AddedToken("[MASK]", lstrip=True, rstrip=True, normalized=True), AddedToken("word", single_word=True, normalized=False),
                  AddedToken("wordy", normalized=False), AddedToken("  ", normalized=False), AddedToken("\n\n", normalized=False), AddedToken("\n\n\n", normalized=True)])
    return t


def llama2():
    t = sentencepiece(760, normalizer=normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")]))
    t.decoder = decoders.Sequence([decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(" ", 1, 0)])
    t.post_processor = bos(t, "<s>")
    return edit(t, strings)


def gemma():
    t = sentencepiece(800, normalizer=normalizers.Replace(" ", "▁"), pre=pre_tokenizers.Split(" ", "merged_with_previous"))
    t.add_tokens([AddedToken("▁" * n, normalized=False) for n in range(2, 6)] + [AddedToken("\n" * n, normalized=False) for n in range(1, 4)]
                 + [AddedToken("word", normalized=True), AddedToken("[MASK]", normalized=False)])
    t.decoder = decoders.Sequence([decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse()])
    t.post_processor = processors.TemplateProcessing(single="<s> $A </s>", special_tokens=[("<s>", 1), ("</s>", 2)])
    return t


def metaspace(scheme, words):
    t = sentencepiece(640, normalizer=normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")]))

    def f(d):
        d["normalizer"] = None
    t = edit(t, f)
    t.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme=scheme, split=words)
    t.decoder = decoders.Metaspace(prepend_scheme=scheme, split=words) if words else decoders.Sequence(
        [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(" ", 1, 0)])
    t.add_tokens([AddedToken("[MASK]", normalized=False)])
    return t


def unknown(fuse):
    """Unknown tokens, with byte tokens for a few bytes only."""
    t = train(None, 400, normalizer=normalizers.NFC(), specials=["<unk>", "<0xF0>", "<0x9F>", "<0x99>", "<0x82>", "<0xCC>", "<0x81>"], unk_token="<unk>", byte_fallback=True, fuse_unk=fuse)

    def f(d):
        d["added_tokens"] = d["added_tokens"][:1]
    t = edit(t, f)
    t.decoder = decoders.Sequence([decoders.ByteFallback(), decoders.Fuse()])
    return t


def splits():
    """The other behaviours of Split."""
    pre = pre_tokenizers.Sequence([
        pre_tokenizers.Split("-", "merged_with_next"), pre_tokenizers.Split(Regex(r"[,.]+"), "merged_with_previous"),
        pre_tokenizers.Split(Regex(r"\s+"), "contiguous"), pre_tokenizers.Split("/", "removed"),
        pre_tokenizers.Split(Regex(r"[\p{L}\p{N}]+"), "isolated", invert=True),
        pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)])
    t = byte_level(pre, vocab=330)
    return t


KINDS = {
    "gpt2": gpt2, "gpt2_prefix": gpt2_prefix, "llama3": llama3, "qwen2": qwen2, "qwen35": qwen35, "smollm2": smollm2, "other_regex": other_regex,
    "flags": flags, "llama2": llama2, "gemma": gemma, "metaspace_first": lambda: metaspace("first", False), "metaspace_always": lambda: metaspace("always", True),
    "unknown": lambda: unknown(False), "unknown_fused": lambda: unknown(True), "splits": splits,
}


def vectors(t, texts):
    ids = [t.encode(s, add_special_tokens=False).ids for s in texts]
    empty = t.encode("", add_special_tokens=True).ids
    marked = t.encode("a", add_special_tokens=True).ids
    n = len(t.encode("a", add_special_tokens=False).ids)
    at = next(i for i in range(len(marked) - n + 1) if marked[i:i + n] == t.encode("a", add_special_tokens=False).ids)
    prefix, suffix = marked[:at], marked[at + n:]
    assert empty == prefix + suffix
    for s, i in zip(texts, ids):
        assert t.encode(s, add_special_tokens=True).ids == prefix + i + suffix
    decoded = [t.decode(i, skip_special_tokens=False) for i in ids]
    skipped = [t.decode(i, skip_special_tokens=True) for i in ids]
    return {"prefix": prefix, "suffix": suffix, "ids": ids,
            "decoded": {i: d for i, (s, d) in enumerate(zip(texts, decoded)) if d != s},
            "skipped": {i: k for i, (d, k) in enumerate(zip(decoded, skipped)) if d != k}}


def spans(t, texts):
    return [[x for pair in t.encode(s, add_special_tokens=False).offsets for x in pair] for s in texts]


def dump(path, value):
    path.write_text(json.dumps(value, ensure_ascii=False, separators=(",", ":")) + "\n", encoding="utf-8", newline="")


def main():
    out = pathlib.Path(__file__).parent / "golden"
    out.mkdir(exist_ok=True)
    texts = HAND + random_texts(random.Random(7), 150)
    dump(out / "texts.json", texts)
    all_spans = {}
    for name, make in KINDS.items():
        t = make()
        d = json.loads(t.to_str())
        if name == "llama2":
            strings(d)
        dump(out / f"{name}.json", d)
        t = Tokenizer.from_file(str(out / f"{name}.json"))
        dump(out / f"{name}.vectors.json", vectors(t, texts))
        all_spans[name] = spans(t, texts)
        print(name, t.get_vocab_size())
    with gzip.GzipFile(out / "spans.json.gz", "wb", mtime=0) as f:
        f.write(json.dumps(all_spans, separators=(",", ":")).encode())


if __name__ == "__main__":
    main()
