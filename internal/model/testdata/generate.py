"""Makes the golden models in this folder with the reference implementation.

    pip install torch 'transformers==4.44.2' safetensors
    python3 generate.py

Each folder is a tiny random Llama as save_pretrained writes it, and golden.safetensors:
ids, the logits (N, V) and the gradient of the mean next-token loss by every
parameter, computed in float64 from the stored weights. Versions that made the
committed files: torch 1.13.1, transformers 4.44.2.
"""
import os
import shutil

import torch
from safetensors.torch import save_file
from transformers import LlamaConfig, LlamaForCausalLM

HERE = os.path.dirname(os.path.abspath(__file__))
COMMON = dict(hidden_size=16, intermediate_size=24, num_hidden_layers=2, num_attention_heads=4, num_key_value_heads=2,
              vocab_size=48, max_position_embeddings=64, rms_norm_eps=1e-5, initializer_range=0.4,
              bos_token_id=1, eos_token_id=[2, 3], attention_dropout=0.0)


def make(name, dtype, shard, **extra):
    torch.manual_seed(len(name))
    model = LlamaForCausalLM(LlamaConfig(**{**COMMON, **extra}))
    with torch.no_grad():
        for key, p in model.named_parameters():
            if key.endswith("norm.weight"):
                p.copy_(1 + 0.3 * torch.randn_like(p))
    folder = os.path.join(HERE, name)
    shutil.rmtree(folder, ignore_errors=True)
    model = model.to(dtype)
    model.save_pretrained(folder, max_shard_size=shard)
    os.remove(os.path.join(folder, "generation_config.json"))

    model = LlamaForCausalLM.from_pretrained(folder, torch_dtype=torch.float32, attn_implementation="eager").double()
    ids = torch.randint(0, COMMON["vocab_size"], (1, 24))
    out = model(ids, labels=ids)
    out.loss.backward()
    golden = {"logits": out.logits[0].detach().float(), "loss": out.loss.detach().float().reshape(1),
              "ids": ids[0].float()}
    for key, p in model.named_parameters():
        golden["grad." + key] = p.grad.float()
    save_file(golden, os.path.join(folder, "golden.safetensors"))


make("tied-llama3", torch.float32, "5GB", tie_word_embeddings=True, rope_theta=500.0,
     hidden_size=24, num_attention_heads=3, num_key_value_heads=1,  # 4 frequencies: kept, blended, scaled, scaled
     rope_scaling={"rope_type": "llama3", "factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0,
                   "original_max_position_embeddings": 64})
make("untied-linear-bf16-sharded", torch.bfloat16, "4KB", tie_word_embeddings=False,
     rope_scaling={"rope_type": "linear", "factor": 2.0})
