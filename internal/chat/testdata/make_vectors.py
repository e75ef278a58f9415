"""Writes vectors.json.gz and tokenizer.json: what transformers makes of
conversations with the templates of families/.

    pip install transformers==5.24.0 tokenizers==0.23.3 jinja2==3.1.6
    python3 make_vectors.py [REAL]       # in this directory

The templates of families/ are written for these tests, with {% generation %} marks.
REAL is a folder with the families' own templates under the same names (from the
models' folders): each text is then checked to be theirs, byte for byte.

Per family, 200 conversations:
    c       number of the conversation
    text    apply_chat_template without marks
    spans   bytes of the assistant's turns (return_assistant_tokens_mask with marks)
    ask     the text that asks for the next answer
    ids     tokens of text, as hexadecimal CRC-32 of little-endian uint32s
    mask    the assistant's tokens by transformers, run lengths beginning with zeros
"""

import copy
import datetime
import gzip
import json
import pathlib
import random
import re
import sys
import zlib

from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import PreTrainedTokenizerFast
from transformers.utils import chat_template_utils

WORDS = ["hola", "mundo", "¿qué tal?", "2+2=4", "the cat", "naïve", "你好", "привет", "  two  spaces ", " lead", "trail ", "\n", "line\nbreak", "'quoted'", '"dq"', "<b>", "&",
         "{{x}}", "{% y %}", "🙂", "a\tb", "code:\n```py\nprint(1)\n```", "नमस्ते", "مرحبا", "I'm", "", "word"]
TOOLS = [{"type": "function", "function": {"name": "get_weather", "description": 'Gets the "weather" & more', "parameters": {
            "type": "object", "properties": {"city": {"type": "string", "description": "<city>"}, "days": {"type": "integer", "default": None, "minimum": 0.5}}, "required": ["city"]}}},
         {"type": "function", "function": {"name": "add", "description": "Ädd", "parameters": {
             "type": "object", "properties": {"b": {"type": "number", "enum": [1, 2.5, 1e-7, True, None]}, "a": {"type": "number"}}, "required": []}}}]
ARGUMENTS = [{"city": 'Zürich "x"', "days": 3}, {"b": 2.5, "a": 1}, {"a": None, "b": [1, {"z": True}]}, {}]
FAMILIES = {"smollm2": "plain system", "qwen2.5": "plain system tools", "qwen3": "plain system tools think", "llama3": "plain system", "llama3.2": "plain system tools",
            "gemma3": "plain system", "zephyr": "plain system", "mistral": "plain"}
SPECIALS = ["<s>", "</s>", "<|im_start|>", "<|im_end|>", "<|start_header_id|>", "<|end_header_id|>", "<|eot_id|>", "<start_of_turn>", "<end_of_turn>",
            "<|user|>", "<|assistant|>", "<|system|>", "[INST]", "[/INST]"]


def words(r, n=5):
    return " ".join(r.choice(WORDS) for _ in range(r.randint(1, n)))


def tool_turns(r):
    calls = [{"type": "function", "function": {"name": r.choice(["get_weather", "add"]), "arguments": r.choice(ARGUMENTS)}} for _ in range(r.choice([1, 1, 1, 2]))]
    turns = [{"role": "assistant", "content": r.choice(["", "", words(r, 2)]), "tool_calls": calls}]
    turns += [{"role": "tool", "content": r.choice(["22°C", '{"ok": true}', words(r, 2)])} for _ in calls]
    return turns + [{"role": "assistant", "content": words(r)}]


def conversation(r, kind):
    turns = [{"role": "system", "content": words(r)}] if kind == "system" or kind != "plain" and r.random() < 0.5 else []
    for _ in range(r.randint(1, 3)):
        turns.append({"role": "user", "content": words(r)})
        if kind == "tools" and r.random() < 0.7:
            turns += tool_turns(r)
            continue
        answer = {"role": "assistant", "content": words(r)}
        if kind == "think" and r.random() < 0.6:
            answer["content"] = f"<think>\n{words(r, 3)}\n</think>\n\n{answer['content']}"
        elif kind == "think" and r.random() < 0.5:
            answer["reasoning_content"] = words(r, 3)
        turns.append(answer)
    return {"messages": turns, **({"tools": TOOLS[:r.randint(1, 2)]} if kind == "tools" else {})}


def tiny_tokenizer(texts):
    t = Tokenizer(models.BPE())
    t.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    t.decoder = decoders.ByteLevel()
    t.train_from_iterator(texts, trainers.BpeTrainer(vocab_size=500, initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()), show_progress=False))
    t.add_special_tokens(SPECIALS)
    return t


def runs(mask):
    out, now = [0], 0
    for m in mask:
        if m != now:
            out.append(0)
            now = m
        out[-1] += 1
    return out


class Pinned(datetime.datetime):
    @classmethod
    def now(cls, tz=None):
        return cls(2024, 7, 26)


def vector(tok, i, c, marked, plain, real):
    args = {"conversation": copy.deepcopy(c["messages"]), "tools": c.get("tools")}
    text = tok.apply_chat_template(**args, chat_template=real, tokenize=False)
    ask = tok.apply_chat_template(**args, chat_template=real, tokenize=False, add_generation_prompt=True)
    assert text == tok.apply_chat_template(**args, chat_template=plain, tokenize=False), (text, tok.apply_chat_template(**args, chat_template=plain, tokenize=False))
    assert ask == tok.apply_chat_template(**args, chat_template=plain, tokenize=False, add_generation_prompt=True)
    rendered, spans = chat_template_utils.render_jinja_template(
        [copy.deepcopy(c["messages"])], tools=c.get("tools"), chat_template=marked, return_assistant_tokens_mask=True, **tok.special_tokens_map)
    assert rendered[0] == text, (rendered[0], text)
    out = tok.apply_chat_template(**args, chat_template=marked, tokenize=True, return_dict=True, return_assistant_tokens_mask=True)
    ids = b"".join(x.to_bytes(4, "little") for x in out["input_ids"])
    return {"c": i, "text": text, "spans": [[len(text[:a].encode()), len(text[:b].encode())] for a, b in spans[0]],
            "ask": ask, "ids": f"{zlib.crc32(ids):08x}", "mask": runs(out["assistant_masks"])}


def main():
    chat_template_utils.datetime = Pinned
    r = random.Random(13)
    convs = {kind: [conversation(r, kind) for _ in range(n)] for kind, n in {"plain": 220, "system": 100, "tools": 190, "think": 60}.items()}
    every = [c for kind in convs.values() for c in kind]
    t = tiny_tokenizer([m["content"] for c in every for m in c["messages"]])
    t.save("tokenizer.json", pretty=False)
    tok = PreTrainedTokenizerFast(tokenizer_object=t, bos_token="<s>", eos_token="</s>")
    families = {}
    for name, kinds in FAMILIES.items():
        marked = pathlib.Path("families", name + ".jinja").read_text()
        plain = re.sub(r"\{%-? (end)?generation %\}", "", marked)
        real = pathlib.Path(sys.argv[1], name + ".jinja").read_text() if len(sys.argv) > 1 else plain
        pools = [[i for i, c in enumerate(every) if c in convs[k]] for k in kinds.split()]
        order = [p[j] for j in range(250) for p in pools if j < len(p)]
        families[name] = []
        for i in order:
            if name == "llama3.2" and any(m.get("tool_calls") and m["content"] for m in every[i]["messages"]):
                continue  # it leaves the content out, which is refused
            try:
                families[name].append(vector(tok, i, every[i], marked, plain, real))
            except chat_template_utils.jinja2.TemplateError as e:
                assert "single tool" in str(e) or "alternate" in str(e), e
            if len(families[name]) == 200:
                break
        print(name, len(families[name]))
    with gzip.GzipFile("vectors.json.gz", "wb", mtime=0) as f:
        f.write(json.dumps({"conversations": every, "families": families}, ensure_ascii=False, separators=(",", ":")).encode())


if __name__ == "__main__":
    main()
