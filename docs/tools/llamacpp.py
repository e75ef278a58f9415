"""Compares concord with llama.cpp itself on GGUF files: the log-probability of each next token
of some sentences, and greedy continuations. llama.cpp keeps keys and values as f32 here.

    pip install xllamacpp transformers
    python docs/tools/llamacpp.py bin/concord FOLDER A.gguf B.gguf=REFERENCE … -- examples/udhr8/data/{en,es,de,ru}.heldout.jsonl

FOLDER has the tokenizer. With =REFERENCE, a file or folder, concord computes with that in place of the
file. BASE.gguf+ADAPTER.gguf is the base under llama.cpp's --lora.
"""
import json
import math
import subprocess
import sys

import xllamacpp
from transformers import AutoTokenizer

SENTENCES, TOKENS, ANSWER = 8, 12, 24
PROMPTS = ["All human beings are born free and", "Todos los seres humanos nacen libres e", "Die Würde des Menschen ist"]
concord, folder, at = sys.argv[1], sys.argv[2], sys.argv.index("--")
models, files = sys.argv[3:at], sys.argv[at + 1:]
texts = []
for lines in zip(*[open(f, encoding="utf-8") for f in files]):  # languages in turn
    texts += [" ".join(str(v) for v in json.loads(line).values()) for line in lines]
tokenizer = AutoTokenizer.from_pretrained(folder)
rows = [tokenizer(text)["input_ids"][:TOKENS] for text in texts[:SENTENCES]]


def run(*args, text=None):
    return json.loads(subprocess.run([concord, *args, "--json"], input=text, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, check=True, text=True).stdout)


def server(name):
    path, _, lora = name.partition("+")
    p = xllamacpp.CommonParams()
    p.model.path, p.n_ctx, p.n_parallel, p.warmup, p.verbosity = path, 256, 1, False, -1
    p.cpuparams.n_threads = p.cpuparams_batch.n_threads = 2
    p.cache_type_k = p.cache_type_v = xllamacpp.ggml_type.GGML_TYPE_F32
    p.flash_attn_type, p.fit_params = xllamacpp.llama_flash_attn_type.LLAMA_FLASH_ATTN_TYPE_DISABLED, False
    if lora:
        p.lora_adapters = [xllamacpp.CommonAdapterLoraInfo(lora, 1.0)]
    return xllamacpp.Server(p)


def complete(s, prompt, n, probs=1):
    r = s.handle_completions({"prompt": prompt, "n_predict": n, "n_probs": probs, "temperature": 0, "cache_prompt": True})
    if "choices" not in r:
        raise SystemExit(f"llama.cpp: {r}")
    return r["choices"][0]["logprobs"]["content"], r["usage"]["prompt_tokens"], r["choices"][0]["text"]


def nll(s, ids):
    """Of the tokens after the first, from llama.cpp's whole distribution where one is not among the likeliest."""
    out = []
    for n in range(1, len(ids)):
        for probs in (512, 1 << 19):
            top = complete(s, ids[:n], 1, probs)[0][0]["top_logprobs"]
            found = [x["logprob"] for x in top if x["id"] == ids[n]]
            if found:
                break
        out.append(-found[0])
    return out


for name in models:
    name, _, reference = name.partition("=")
    s, reference = server(name), reference or name
    error = total = most = tokens = ours = theirs = 0
    for row, got in zip(rows, run("score", "--model", reference, "--ids", "-", text=json.dumps(rows))["nll"]):
        for a, b in zip(nll(s, row), got):
            error, total, tokens, most = error + (a - b) ** 2, total + b**2, tokens + 1, max(most, abs(a - b))
            theirs, ours = theirs + a, ours + b
    print(f"{name}: {len(rows)} sentences, {tokens} tokens: NLL {ours / tokens:.5f} by concord of {reference}, {theirs / tokens:.5f} by llama.cpp; "
          f"NMSE {error / total:.2g}, RMS {math.sqrt(error / tokens):.2g}, largest difference {most:.2g} nats", flush=True)
    same = 0
    for prompt in PROMPTS:
        got = run("generate", "--raw", "--model", reference, "--max-tokens", str(ANSWER), prompt)
        said, read, text = complete(s, prompt, ANSWER)
        want = [x["id"] for x in said if x["id"] not in got["stop_tokens"]][: len(got["ids"])]
        equal = got["ids"] == want and read == len(got["prompt_ids"])
        same += equal
        print(f"    {got['text']!r}" + ("" if equal else f", llama.cpp: {text!r}"), flush=True)
    print(f"    greedy text equal: {same} of {len(PROMPTS)}", flush=True)
