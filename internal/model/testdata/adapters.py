"""Makes the golden adapters with PEFT, on base models that lie beside them.

    pip install torch==2.15.0 transformers==5.24.0 peft==0.21.2 safetensors
    python3 adapters.py

Each folder of adapters/ is what PEFT's save_pretrained writes, and golden.safetensors as
families.py makes it, of the parameters that are trained. B is random, as of an adapter
that has learnt something.
"""
import json
import os
import shutil

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
}

for name, settings in ADAPTERS.items():
    folder = os.path.join(HERE, "adapters", name)
    shutil.rmtree(folder, ignore_errors=True)
    torch.manual_seed(len(name))
    base = name.removesuffix("-dora")
    base = AutoModelForCausalLM.from_pretrained(os.path.join(HERE, base), attn_implementation="eager", dtype=torch.float32)
    model = get_peft_model(base, LoraConfig(task_type="CAUSAL_LM", **settings))
    with torch.no_grad():
        for key, p in model.named_parameters():
            if "lora_B" in key:
                p.copy_(0.3 * torch.randn_like(p))
            elif "modules_to_save" in key:
                p.add_(0.1 * torch.randn_like(p))
            elif "magnitude" in key:
                p.mul_(0.5 + torch.rand_like(p))
    model.save_pretrained(folder)
    path = os.path.join(folder, "adapter_config.json")
    with open(path) as f:
        config = json.load(f)
    config["base_model_name_or_path"] = "../../" + name.removesuffix("-dora")
    with open(path, "w") as f:
        json.dump(config, f, indent=2, sort_keys=True)
    readme = os.path.join(folder, "README.md")
    if os.path.exists(readme):
        os.remove(readme)

    model = model.double().eval()
    for module in model.modules():
        for key in list(vars(module)):
            if key.endswith("attention_scaling"):
                setattr(module, key, float(getattr(module, key)))
    ids = torch.randint(0, 37, (1, 20))
    trained = {k: p for k, p in model.named_parameters() if p.requires_grad}
    out = model(input_ids=ids, labels=ids, use_cache=False)
    out.loss.backward()
    golden = {"logits": out.logits[0].detach().float(), "loss": out.loss.detach().float().reshape(1), "ids": ids[0].float()}
    for key, p in trained.items():
        golden["grad." + key.removeprefix("base_model.model.").replace(".default", "").replace(".modules_to_save", "").replace("magnitude_vector.weight", "magnitude_vector")] = p.grad.float().contiguous()
    optimizer = torch.optim.AdamW(trained.values(), lr=1e-4, betas=(0.9, 0.95), eps=1e-8, weight_decay=0.0)
    losses = []
    for _ in range(8):
        optimizer.zero_grad()
        loss = model(input_ids=ids, labels=ids, use_cache=False).loss
        loss.backward()
        optimizer.step()
        losses.append(loss.detach())
    golden["trajectory"] = torch.stack(losses).float()
    save_file(golden, os.path.join(folder, "golden.safetensors"))
    print(name, [round(float(x), 6) for x in losses], flush=True)
