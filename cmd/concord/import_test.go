package main

import (
	"path/filepath"
	"strings"
	"testing"

	"concord/internal/gguf/gguftest"
	"concord/internal/model"
)

// A file of llama.cpp becomes a folder that scores; what is no such file is said.
func TestImport(t *testing.T) {
	dir := t.TempDir()
	tokens, types := []string{"a", "b", "ab", "<eos>"}, []int32{1, 1, 1, 3}
	meta := map[string]any{"general.architecture": "llama", "llama.embedding_length": uint32(8), "llama.block_count": uint32(1),
		"llama.attention.head_count": uint32(2),
		"llama.feed_forward_length":  uint32(8), "llama.context_length": uint32(32), "llama.attention.layer_norm_rms_epsilon": float32(1e-5),
		"tokenizer.ggml.model": "gpt2", "tokenizer.ggml.pre": "gpt-2", "tokenizer.ggml.tokens": tokens, "tokenizer.ggml.token_type": types,
		"tokenizer.ggml.merges": []string{"a b"}, "tokenizer.ggml.eos_token_id": uint32(3)}
	matrix := func(name string, shape ...int) gguftest.Tensor {
		n := 1
		for _, d := range shape {
			n *= d
		}
		v := make([]float32, n)
		for i := range v {
			v[i] = float32(i%7) - 3
		}
		return gguftest.Tensor{Name: name, Shape: shape, Values: v}
	}
	tensors := []gguftest.Tensor{matrix("token_embd.weight", 4, 8), matrix("output_norm.weight", 8),
		matrix("blk.0.attn_norm.weight", 8), matrix("blk.0.ffn_norm.weight", 8)}
	for _, name := range []string{"attn_q", "attn_k", "attn_v", "attn_output", "ffn_gate", "ffn_up", "ffn_down"} {
		tensors = append(tensors, matrix("blk.0."+name+".weight", 8, 8))
	}
	file, out := filepath.Join(dir, "tiny.gguf"), filepath.Join(dir, "tiny")
	gguftest.Write(t, file, meta, tensors)
	c := importCmd{File: file, Dir: out}
	if err := c.Run(); err != nil {
		t.Fatal(err)
	}
	config, err := model.ReadConfig(out)
	if err != nil {
		t.Fatal(err)
	}
	if err := model.Check(out, config); err != nil {
		t.Error(err)
	}
	if !config.TieWordEmbeddings || config.RMSNormEps != 1e-5 || config.Vocab != 4 {
		t.Errorf("%+v", config)
	}
	if err := c.Run(); err == nil || !strings.Contains(err.Error(), "holds a model already") || exitCode(err) != exitData {
		t.Errorf("a second time: %v (code %d)", err, exitCode(err))
	}
	if err := (&importCmd{File: filepath.Join(out, "config.json"), Dir: filepath.Join(dir, "other")}).Run(); err == nil ||
		!strings.Contains(err.Error(), "no GGUF file") {
		t.Errorf("a file of another kind: %v", err)
	}
}
