"""Compares concord with transformers on one GGUF file: the negative log-likelihood of
each token of 50 sentences, and greedy continuations. transformers dequantises the same
file and computes in float64.

    pip install torch transformers gguf accelerate
    python docs/tools/parity.py bin/concord model.gguf examples/udhr8/data/*.heldout.jsonl

With --prompts TEXT … in place of files only greedy continuations of these texts, 24 tokens each.
"""
import json
import os
import subprocess
import sys
import tempfile

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

concord, path, files = sys.argv[1], os.path.abspath(sys.argv[2]), sys.argv[3:]
prompts, texts, most = [], [], 16
if files[0] == "--prompts":
    files, prompts, most = [], files[1:], 24
for lines in zip(*[open(f, encoding="utf-8") for f in files]):  # languages in turn
    texts += [" ".join(str(v) for v in json.loads(line).values()) for line in lines]
folder, name = os.path.split(path)
tokenizer = AutoTokenizer.from_pretrained(folder, gguf_file=name)
model = AutoModelForCausalLM.from_pretrained(folder, gguf_file=name, dtype=torch.float32).double().eval()
ids = [tokenizer(text)["input_ids"][:24] for text in texts[:50]]


def run(*args, text=None):
    return json.loads(subprocess.run([concord, *args, "--json"], input=text, capture_output=True, check=True, text=True).stdout)


ours = run("score", "--model", path, "--ids", "-", text=json.dumps(ids)) if ids else []
error = total = tokens = 0
for row, got in zip(ids, ours["nll"] if isinstance(ours, dict) else ours):
    with torch.no_grad():
        logits = model(torch.tensor([row])).logits[0, :-1].log_softmax(-1)
    want = -logits.gather(1, torch.tensor(row[1:])[:, None])[:, 0]
    error += ((want - torch.tensor(got).double()) ** 2).sum().item()
    total += (want**2).sum().item()
    tokens += len(got)
if ids:
    print(f"NLL of {len(ids)} sentences, {tokens} tokens: NMSE {error / total:.3g}")
    prompts = [tokenizer.decode(tokenizer(text)["input_ids"][:12], skip_special_tokens=True) for text in texts[:5]]
same = 0
for prompt in prompts:
    got = run("generate", "--raw", "--model", path, "--max-tokens", str(most), prompt)
    given = torch.tensor([got["prompt_ids"]])
    with torch.no_grad():
        want = model.generate(given, attention_mask=torch.ones_like(given), do_sample=False, max_new_tokens=most)[0, given.shape[1]:].tolist()
    stops = set(got["stop_tokens"])
    want = [i for i in want if i not in stops][: len(got["ids"])]
    same += want == got["ids"]
    print(repr(prompt), "->", repr(got["text"]), "" if want == got["ids"] else f"but transformers: {tokenizer.decode(want)!r}")
print(f"greedy text equal: {same} of {len(prompts)}")
