"""Makes the golden models of the families beside Llama with the reference implementation.

    pip install torch==2.15.0 transformers==5.24.0 safetensors
    python3 families.py                # the folders that are committed, one shape each
    python3 families.py DIR 1 2 3      # shapes 1, 2, 3 of every family into DIR
    CONCORD_GOLDEN=DIR go test .. -run Golden

As generate.py: tiny random models as save_pretrained writes them, and golden.safetensors
with ids, logits, loss and the gradient of the loss by every tensor, and the losses of
eight steps of AdamW, in float64.
"""
import os
import shutil
import sys

import torch
from safetensors.torch import save_file
from transformers import AutoConfig, AutoModelForCausalLM

SHAPES = [
    dict(hidden_size=16, intermediate_size=20, num_hidden_layers=2, num_attention_heads=4, num_key_value_heads=2, head_dim=4),
    dict(hidden_size=24, intermediate_size=40, num_hidden_layers=3, num_attention_heads=2, num_key_value_heads=1, head_dim=16),
    dict(hidden_size=20, intermediate_size=28, num_hidden_layers=1, num_attention_heads=5, num_key_value_heads=5, head_dim=4),
    dict(hidden_size=64, intermediate_size=96, num_hidden_layers=4, num_attention_heads=8, num_key_value_heads=2, head_dim=8),
]
COMMON = dict(vocab_size=48, max_position_embeddings=64, rms_norm_eps=1e-5, initializer_range=0.4, bos_token_id=1,
              eos_token_id=[2, 3], pad_token_id=None, attention_dropout=0.0)
FAMILIES = {
    "mistral": dict(sliding_window=5, tie_word_embeddings=False),
    "qwen2": dict(tie_word_embeddings=True, use_sliding_window=True, sliding_window=6, max_window_layers=1, rope_theta=1e6),
    "gemma": dict(tie_word_embeddings=True),
    "gemma2": dict(tie_word_embeddings=True, sliding_window=5, query_pre_attn_scalar=6, attn_logit_softcapping=3.0, final_logit_softcapping=4.0),
    "gemma3_text": dict(tie_word_embeddings=True, sliding_window=5, query_pre_attn_scalar=6, layer_types=["sliding_attention", "full_attention"]),
    "phi3": dict(tie_word_embeddings=False, sliding_window=6, partial_rotary_factor=0.5),
    "gpt2": dict(tie_word_embeddings=True, attn_pdrop=0.0, embd_pdrop=0.0, resid_pdrop=0.0),
    "qwen3": dict(tie_word_embeddings=False, rope_theta=1e6),
}
GPT2 = {"hidden_size": "n_embd", "intermediate_size": "n_inner", "num_hidden_layers": "n_layer", "num_attention_heads": "n_head",
        "max_position_embeddings": "n_positions", "rms_norm_eps": "layer_norm_epsilon"}
# The head dimension is not a key of these, but hidden_size / num_attention_heads.
DERIVED = {"qwen2", "phi3", "gpt2"}


def make(folder, family, number):
    shape = dict(SHAPES[number])
    if family in DERIVED:
        shape["head_dim"] = None
        shape["hidden_size"] = SHAPES[number]["head_dim"] * shape["num_attention_heads"]
    extra = {k: v for k, v in {**COMMON, **shape, **FAMILIES[family]}.items() if not (k == "head_dim" and v is None)}
    if family == "gpt2":
        extra = {GPT2.get(k, k): v for k, v in extra.items() if k not in ("num_key_value_heads", "attention_dropout")}
    if family == "phi3":
        extra["partial_rotary_factor"] = 0.5 if SHAPES[number]["head_dim"] % 8 == 0 else 1.0
    if "layer_types" in extra:
        extra["layer_types"] = [extra["layer_types"][i % 2] for i in range(extra["num_hidden_layers"])]
    theta = extra.pop("rope_theta", None)
    if theta:
        extra["rope_parameters"] = {"rope_type": "default", "rope_theta": theta}
    torch.manual_seed(len(family) + 100 * number)
    model = AutoModelForCausalLM.from_config(AutoConfig.for_model(family, **extra), attn_implementation="eager")
    with torch.no_grad():
        for key, p in model.named_parameters():
            if p.ndim == 1:  # norms about their identity, biases about 0
                p.add_(0.3 * torch.randn_like(p))
    shutil.rmtree(folder, ignore_errors=True)
    model.float().save_pretrained(folder)
    generation = os.path.join(folder, "generation_config.json")
    if os.path.exists(generation):
        os.remove(generation)

    model = model.double().eval()
    for module in model.modules():  # the tables of rotary frequencies in float64 too
        for key in list(vars(module)):
            if key.endswith("attention_scaling"):
                setattr(module, key, float(getattr(module, key)))
    ids = torch.randint(0, COMMON["vocab_size"], (1, 20))
    out = model(ids, labels=ids, use_cache=False)
    out.loss.backward()
    golden = {"logits": out.logits[0].detach().float(), "loss": out.loss.detach().float().reshape(1), "ids": ids[0].float()}
    for key, p in model.named_parameters():
        golden["grad." + key] = p.grad.float().contiguous()
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-4, betas=(0.9, 0.95), eps=1e-8, weight_decay=0.0)
    losses = []
    for _ in range(8):
        optimizer.zero_grad()
        loss = model(ids, labels=ids, use_cache=False).loss
        loss.backward()
        optimizer.step()
        losses.append(loss.detach())
    golden["trajectory"] = torch.stack(losses).float()
    save_file(golden, os.path.join(folder, "golden.safetensors"))


if len(sys.argv) > 1:
    for family in FAMILIES:
        for number in map(int, sys.argv[2:]):
            make(os.path.join(sys.argv[1], f"{family}-{number}"), family, number)
else:
    here = os.path.dirname(os.path.abspath(__file__))
    for family in FAMILIES:
        make(os.path.join(here, family), family, 0)
