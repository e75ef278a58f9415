"""Compares the exports of an adapter run elsewhere: the negative log-likelihood of each
token of 20 sentences by transformers and PEFT, in float64, against concord's of the run's
merged model.

    pip install torch transformers peft gguf accelerate
    python docs/tools/adapters.py bin/concord BASE PEFT MERGED MERGED.gguf examples/names8/data/*.heldout.jsonl
"""
import json
import os
import subprocess
import sys

import torch
from peft import PeftModel
from transformers import AutoModelForCausalLM, AutoTokenizer

concord, base, adapter, merged, gguf, files = *sys.argv[1:6], sys.argv[6:]
texts = []
for lines in zip(*[open(f, encoding="utf-8") for f in files]):  # languages in turn
    texts += [" ".join(str(v) for v in json.loads(line).values()) for line in lines]
tokenizer = AutoTokenizer.from_pretrained(merged)
ids = [tokenizer(text)["input_ids"][:24] for text in texts[:20]]


def load(folder, **options):
    return AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32, **options).double().eval()


def nll(model):
    out = []
    for row in ids:
        with torch.no_grad():
            logits = model(torch.tensor([row])).logits[0, :-1].log_softmax(-1)
        out.append(-logits.gather(1, torch.tensor(row[1:])[:, None])[:, 0])
    return torch.cat(out)


ours = subprocess.run([concord, "score", "--model", merged, "--ids", "-", "--json"], input=json.dumps(ids), capture_output=True, check=True, text=True)
ours = json.loads(ours.stdout)
ours = torch.cat([torch.tensor(row).double() for row in (ours["nll"] if isinstance(ours, dict) else ours)])
folder, name = os.path.split(os.path.abspath(gguf))
before = nll(load(base))
print(f"{len(ids)} sentences, {len(ours)} tokens: {before.mean():.4f} nats a token before, {ours.mean():.4f} after")
for what, model in {
    "PEFT's adapter on the base": PeftModel.from_pretrained(load(base), adapter).double().eval(),
    "PEFT's, merged by PEFT": PeftModel.from_pretrained(load(base), adapter).double().eval().merge_and_unload(),
    "the merged folder": load(merged),
    "the merged GGUF": load(folder, gguf_file=name),
}.items():
    want = nll(model)
    print(f"{what}: NMSE of the NLL {((want - ours) ** 2).sum() / (want**2).sum():.3g}, largest difference {(want - ours).abs().max():.3g} nats")
