"""Writes pairs/: a tiny random Llama, and the loss by the reference implementation of
1,200 prompts with their answers (at least 1,000 with a loss) for each tokenizer of internal/tokenizer/testdata/golden.

    pip install torch==2.15.0 transformers==5.24.0 tokenizers==0.23.3 safetensors
    python3 pairs.py                   # in this directory

A pair is a text of texts.json, cut in two: [text, characters of the prompt]. It is
encoded as one text, after the tokens that the tokenizer puts before each text and
with EOS after it (token 2, by config.json). Learnt are EOS and the tokens
whose first character is in the answer. losses holds, per tokenizer and pair, the sum of
their losses in nats, in float64 from the stored weights; null where the text has
BOS or EOS of its own (concord does not double them), or NFC may compose across the cut.
"""
import gzip
import json
import pathlib
import shutil
import unicodedata

import torch
from tokenizers import Tokenizer
from transformers import LlamaConfig, LlamaForCausalLM

HERE = pathlib.Path(__file__).resolve().parent
GOLDEN = HERE.parents[1] / "tokenizer" / "testdata" / "golden"
OUT, EOS, VOCAB, PAIRS = HERE / "pairs", 2, 768, 1200


def make_model():
    shutil.rmtree(OUT, ignore_errors=True)
    torch.manual_seed(1)
    model = LlamaForCausalLM(LlamaConfig(hidden_size=16, intermediate_size=24, num_hidden_layers=2, num_attention_heads=4, num_key_value_heads=2, vocab_size=VOCAB,
                                         max_position_embeddings=256, initializer_range=0.4, bos_token_id=1, eos_token_id=EOS, tie_word_embeddings=True))
    model.to(torch.bfloat16).save_pretrained(OUT)
    (OUT / "generation_config.json").unlink()
    return LlamaForCausalLM.from_pretrained(OUT, dtype=torch.float32, attn_implementation="eager").double()


def cuts(texts):
    """Cuts in the short texts, PAIRS of them at even distances."""
    all = [[i, at] for i, text in enumerate(texts) if len(text) <= 40 for at in range(1, len(text)) if text[at:].strip()]
    return [all[k * len(all) // PAIRS] for k in range(PAIRS)]


def composes(text, at):
    """Whether NFC may join what is on both sides of the cut."""
    whole = unicodedata.normalize("NFC", text)
    parts = unicodedata.normalize("NFC", text[:at]) + unicodedata.normalize("NFC", text[at:])
    return whole != parts or unicodedata.combining(text[at]) != 0


def loss(model, tok, prefix, text, at):
    e = tok.encode(text, add_special_tokens=False)
    if not e.ids or e.ids[0] in prefix or e.ids[-1] == EOS or composes(text, at):
        return None
    ids = prefix + e.ids + [EOS]
    labels = [-100] * len(prefix) + [i if start >= at else -100 for i, (start, _) in zip(e.ids, e.offsets)] + [EOS]
    with torch.no_grad():
        logits = model(torch.tensor([ids])).logits[0, :-1]
    return torch.nn.functional.cross_entropy(logits, torch.tensor(labels[1:]), reduction="sum").item()


def main():
    model = make_model()
    texts = json.loads((GOLDEN / "texts.json").read_text(encoding="utf-8"))
    pairs = cuts(texts)
    losses = {}
    for path in sorted(GOLDEN.glob("*.vectors.json")):
        name = path.name.removesuffix(".vectors.json")
        tok = Tokenizer.from_file(str(GOLDEN / f"{name}.json"))
        prefix = json.loads(path.read_text(encoding="utf-8"))["prefix"]
        values = [loss(model, tok, prefix, texts[i], at) for i, at in pairs]
        losses[name] = [None if v is None else float(f"{v:.7g}") for v in values]
        compared = sum(v is not None for v in values)
        print(name, compared)
        assert compared >= 1000, f"{name}: {compared} pairs have a loss"
    with gzip.GzipFile(OUT / "losses.json.gz", "wb", mtime=0) as f:
        f.write(json.dumps({"pairs": pairs, "losses": losses}, separators=(",", ":")).encode())


if __name__ == "__main__":
    main()
