"""Makes the golden adapters with PEFT, on base models that lie beside them: all, or those named.

    pip install torch==2.15.0 transformers==5.24.0 peft==0.21.2 safetensors
    python3 adapters.py [NAME ...]

Each folder of adapters/ is what PEFT's save_pretrained writes, and golden.safetensors as
families.py makes it, of the parameters that are trained. B is random, as of an adapter
that has learnt something. Where lora_dropout is not 0, PEFT's dropout layers get the masks
that concord draws under seed 0 for the tokens of row k of the run in step k: loss and
gradients are those of step 0, logits are without dropout. Where embedding and head are tied,
the head's A and B are made of the embedding's in every forward pass: PEFT trains them as
parameters of their own that share memory, which an optimizer then changes twice a step.
"""
import json
import os
import shutil
import sys

import numpy as np
import torch
from peft import LoraConfig, get_peft_model
from safetensors.torch import save_file
from transformers import AutoModelForCausalLM

HERE = os.path.dirname(os.path.abspath(__file__))
ADAPTERS = {
    "tied-llama3": dict(r=4, lora_alpha=8, target_modules="all-linear"),
    "qwen2": dict(r=3, lora_alpha=6, target_modules=["q_proj", "v_proj", "down_proj"], use_rslora=True),
    "gpt2": dict(r=4, lora_alpha=4, target_modules="all-linear", fan_in_fan_out=True),
    "phi3": dict(r=4, lora_alpha=8, target_modules="all-linear", modules_to_save=["lm_head"]),
    "tied-llama3-dora": dict(r=3, lora_alpha=6, target_modules=["q_proj", "o_proj", "gate_proj", "down_proj"], use_dora=True),
    "qwen2-dora": dict(r=2, lora_alpha=3, target_modules=["q_proj", "v_proj", "up_proj"], use_dora=True, use_rslora=True,
                       layers_to_transform=[1], rank_pattern={"v_proj": 3}, alpha_pattern={"mlp.up_proj": 8}),
    "gpt2-dora": dict(r=2, lora_alpha=4, target_modules=["c_attn", "c_fc"], fan_in_fan_out=True, use_dora=True),
    "phi3-dora": dict(r=2, lora_alpha=4, target_modules=["qkv_proj", "down_proj"], use_dora=True),
    "qwen2-dropout": dict(r=3, lora_alpha=6, target_modules="all-linear", lora_dropout=0.3),
    "gpt2-dropout-dora": dict(r=2, lora_alpha=4, target_modules=["c_attn", "c_fc"], fan_in_fan_out=True, use_dora=True, lora_dropout=0.25),
    "mistral-tokens": dict(r=3, lora_alpha=6, target_modules=["q_proj", "embed_tokens", "lm_head"], rank_pattern={"lm_head": 5}),
    "gemma-tokens": dict(r=3, lora_alpha=6, target_modules=["v_proj", "embed_tokens"], use_rslora=True, ensure_weight_tying=True),
    "qwen2-tokens-dropout": dict(r=2, lora_alpha=3, target_modules=["down_proj", "lm_head"], ensure_weight_tying=True, lora_dropout=0.2),
    "untied-linear-bf16-sharded-tokens-dropout": dict(r=2, lora_alpha=3, target_modules=["embed_tokens", "lm_head"], lora_dropout=0.2),
}
TOKENS = 20


def base_of(name):
    for end in ("-dora", "-dropout", "-tokens"):
        name = name.removesuffix(end)
    return name


def tie(model):
    """Makes the adapter of a tied head that of the embedding."""
    table, head = model.get_input_embeddings(), model.get_output_embeddings()
    a, b = head.lora_A["default"], head.lora_B["default"]
    del a._parameters["weight"], b._parameters["weight"]

    def take(*_):
        a.weight, b.weight = table.lora_embedding_B["default"].t(), table.lora_embedding_A["default"].t()

    take()
    head.register_forward_pre_hook(take)


def mix64(x):
    """SplitMix64."""
    x = (x + 0x9E3779B97F4A7C15) % 2**64
    x = ((x ^ x >> 30) * 0xBF58476D1CE4E5B9) % 2**64
    x = ((x ^ x >> 27) * 0x94D049BB133111EB) % 2**64
    return x ^ x >> 31


def fnv64a(name):
    h = 0xCBF29CE484222325
    for byte in name.encode():
        h = (h ^ byte) * 0x100000001B3 % 2**64
    return h


class Masked(torch.nn.Module):
    """Dropout by the mask of a module's A in step Masked.step: pcg4d of (column / 4, token, key)."""

    step = 0

    def __init__(self, p, module):
        super().__init__()
        self.p, self.key = p, mix64(mix64(0) ^ fnv64a(module + ".lora_A.weight"))

    def forward(self, x):
        rows, cols = x.shape[-2:]
        u = np.uint32
        v = [np.broadcast_to(np.arange(-(-cols // 4), dtype=u)[None, :], (rows, -(-cols // 4))).copy(),
             np.broadcast_to((self.step * TOKENS + np.arange(rows)).astype(u)[:, None], (rows, -(-cols // 4))).copy(),
             np.full((rows, -(-cols // 4)), self.key % 2**32, u), np.full((rows, -(-cols // 4)), self.key >> 32, u)]
        v = [w * u(1664525) + u(1013904223) for w in v]
        for turn in range(2):
            v[0] += v[1] * v[3]
            v[1] += v[2] * v[0]
            v[2] += v[0] * v[1]
            v[3] += v[1] * v[2]
            if turn == 0:
                v = [w ^ w >> u(16) for w in v]
        bits = np.stack(v, axis=-1).reshape(rows, -1)[:, :cols]
        return x * torch.from_numpy(bits >= round(self.p * 2**32)).to(x.dtype) / (1 - self.p)


for name, settings in ADAPTERS.items():
    if sys.argv[1:] and name not in sys.argv[1:]:
        continue
    folder = os.path.join(HERE, "adapters", name)
    shutil.rmtree(folder, ignore_errors=True)
    torch.manual_seed(len(name))
    base = AutoModelForCausalLM.from_pretrained(os.path.join(HERE, base_of(name)), attn_implementation="eager", dtype=torch.float32)
    model = get_peft_model(base, LoraConfig(task_type="CAUSAL_LM", **settings))
    with torch.no_grad():
        for key, p in model.named_parameters():
            if "lora_B" in key or "lora_embedding_A" in key:
                p.copy_(0.3 * torch.randn_like(p))
            elif "modules_to_save" in key:
                p.add_(0.1 * torch.randn_like(p))
            elif "magnitude" in key:
                p.mul_(0.5 + torch.rand_like(p))
    model.save_pretrained(folder)
    path = os.path.join(folder, "adapter_config.json")
    with open(path) as f:
        config = json.load(f)
    config["base_model_name_or_path"] = "../../" + base_of(name)
    with open(path, "w") as f:
        json.dump(config, f, indent=2, sort_keys=True)
    readme = os.path.join(folder, "README.md")
    if os.path.exists(readme):
        os.remove(readme)

    model = model.double().eval()
    if settings.get("ensure_weight_tying"):
        tie(model)
    for module in model.modules():
        for key in list(vars(module)):
            if key.endswith("attention_scaling"):
                setattr(module, key, float(getattr(module, key)))
    ids = torch.randint(0, 37, (1, TOKENS))
    trained = {k: p for k, p in model.named_parameters() if p.requires_grad}
    logits = model(input_ids=ids, use_cache=False).logits[0].detach().float()
    if settings.get("lora_dropout"):
        for key, module in model.named_modules():
            if "default" in getattr(module, "lora_dropout", {}):
                module.lora_dropout["default"] = Masked(settings["lora_dropout"], key.removeprefix("base_model.model."))
        model.train()
    Masked.step = 0
    out = model(input_ids=ids, labels=ids, use_cache=False)
    out.loss.backward()
    golden = {"logits": logits, "loss": out.loss.detach().float().reshape(1), "ids": ids[0].float()}
    for key, p in trained.items():
        golden["grad." + key.removeprefix("base_model.model.").replace(".default", "").replace(".modules_to_save", "").replace("magnitude_vector.weight", "magnitude_vector")] = p.grad.float().contiguous()
    optimizer = torch.optim.AdamW(trained.values(), lr=1e-4, betas=(0.9, 0.95), eps=1e-8, weight_decay=0.0)
    losses = []
    for Masked.step in range(8):
        optimizer.zero_grad()
        loss = model(input_ids=ids, labels=ids, use_cache=False).loss
        loss.backward()
        optimizer.step()
        losses.append(loss.detach())
    golden["trajectory"] = torch.stack(losses).float()
    save_file(golden, os.path.join(folder, "golden.safetensors"))
    print(name, [round(float(x), 6) for x in losses], flush=True)
