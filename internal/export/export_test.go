package export

import (
	"bytes"
	"errors"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"concord/internal/chat"
	"concord/internal/device"
	"concord/internal/fault"
	"concord/internal/gguf"
	"concord/internal/model"
	"concord/internal/modeldir"
	"concord/internal/safetensors"
	"concord/internal/train/traintest"
)

// configs are models whose matrices have whole blocks, and whose have not.
var configs = map[string]string{
	"llama": `{"model_type": "llama", "hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 2,
		"num_key_value_heads": 1, "vocab_size": 258, "max_position_embeddings": 64, "tie_word_embeddings": false,
			"eos_token_id": [257, 65, 66]}`,
	"gemma3": `{"model_type": "gemma3_text", "hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 6, "num_attention_heads": 2,
		"num_key_value_heads": 1, "head_dim": 16, "vocab_size": 258, "max_position_embeddings": 64, "sliding_window": 5,
			"query_pre_attn_scalar": 16}`,
	"gpt2": `{"model_type": "gpt2", "n_embd": 32, "n_layer": 2, "n_head": 2, "vocab_size": 258, "n_positions": 64}`,
}

// folder makes a model of one of configs.
func folder(t *testing.T, name string) string {
	t.Helper()
	traintest.CacheHome(t)
	return filepath.Join(filepath.Dir(traintest.FamilyRun(t, configs[name], nil)), "base")
}

func adapter() device.Options {
	return device.Options{Adapter: os.Getenv("CONCORD_ADAPTER"), NoAutotune: true, Warn: io.Discard}
}

// Every type of every form says what the model says, within its bound; the
// exact ones to the bit.
func TestExport(t *testing.T) {
	traintest.RequireAdapter(t)
	for name := range configs {
		t.Run(name, func(t *testing.T) {
			from, dir := folder(t, name), t.TempDir()
			var made []string
			for _, dtype := range gguf.Writable() {
				kind, err := gguf.ParseType(dtype)
				if err != nil {
					t.Fatal(err)
				}
				out := filepath.Join(dir, dtype+".gguf")
				notes, err := GGUF{From: from, Out: out, Name: name, Type: kind}.Write()
				if err != nil {
					t.Fatal(err)
				}
				if (name == "llama") != (len(notes) == 1 && strings.Contains(notes[0], "may not stop at")) {
					t.Errorf("notes %q", notes)
				}
				made = append(made, out)
			}
			out := filepath.Join(dir, "folder") // of the file, back
			if dtype, err := (Folder{From: made[0], Out: out}).Write(); err != nil || dtype != safetensors.F32 {
				t.Fatal(dtype, err)
			}
			for _, written := range append(made, out) {
				bound := Bounds[strings.TrimSuffix(filepath.Base(written), ".gguf")]
				source := from
				if written == out {
					source = made[0]
				}
				d, err := Verify{Source: source, Written: written, Texts: []string{"All men", "人人"}, Bound: bound,
					Device: adapter()}.Run()
				exact := bound == 0 || bound == Bounds["f32"]
				if err != nil || exact && name != "gemma3" && d.MaxAbs != 0 || !exact && d.MaxAbs == 0 { // Gemma's norms are stored plus 1
					t.Errorf("%s: %v (%v)", written, d, err)
				}
				if d.Parameters == 0 || d.Unproved > 0 || (d.Stored == nil) != (d.Rounded == 0) || d.Greedy[1] != 2 || d.MeanAbs > d.MaxAbs {
					t.Errorf("%s: %+v", written, d)
				}
				if name != "gemma3" && (exact != (d.Rounded == 0) || exact && d.NLL != 0) {
					t.Errorf("%s: %+v", written, d)
				}
			}
		})
	}
}

// A model that says something else is found out, and so is another tokenizer.
func TestVerifyFindsDifferences(t *testing.T) {
	traintest.RequireAdapter(t)
	from, out := folder(t, "llama"), filepath.Join(t.TempDir(), "x.gguf")
	if _, err := (GGUF{From: from, Out: out, Type: gguf.F16}).Write(); err != nil {
		t.Fatal(err)
	}
	other := folder(t, "gpt2")
	v := Verify{Source: other, Written: out, Texts: []string{"All human beings"}, Bound: Bounds["q4_0"], Device: adapter()}
	if _, err := v.Run(); !errors.Is(err, fault.ErrData) {
		t.Errorf("another model: %v", err)
	}
	v.Source, v.Bound = from, 1e-12
	if _, err := v.Run(); err == nil {
		t.Error("f16 is as good as f32")
	}
	v.Texts = []string{"\xff"}
	if _, err := v.Run(); err == nil || !strings.Contains(err.Error(), "nothing can be compared") {
		t.Errorf("no text: %v", err)
	}
	traintest.WriteFile(t, filepath.Join(from, "tokenizer_config.json"), `{"bos_token": "<|eos|>", "eos_token": "<|bos|>"}`)
	text, err := os.ReadFile(filepath.Join(from, "tokenizer.json"))
	if err != nil {
		t.Fatal(err)
	}
	traintest.WriteFile(t, filepath.Join(from, "tokenizer.json"), strings.Replace(string(text), `"Ġ":`, `"ĠĠ":`, 1))
	v.Texts = []string{"All human beings"}
	if _, err := v.Run(); err == nil {
		t.Error("another tokenizer is not seen")
	}
}

// The special tokens and the chat template of the folder stand in the file; what is
// there already stays.
func TestVocabulary(t *testing.T) {
	from, out := folder(t, "llama"), filepath.Join(t.TempDir(), "x.gguf")
	traintest.WriteFile(t, filepath.Join(from, "tokenizer_config.json"),
		`{"bos_token": "<|bos|>", "eos_token": {"content": "<|eos|>"}, "pad_token": "<|eos|>", "chat_template": [{"name": `+
			`"default", "template": "{{ messages }}"}, {"name": "tool_use", "template": "x"}]}`)
	notes, err := GGUF{From: from, Out: out, Name: "my model", Type: gguf.F16}.Write()
	if err != nil || len(notes) != 2 || !strings.Contains(notes[1], "tools is left out") {
		t.Fatal(notes, err)
	}
	f, err := gguf.Open(out)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for key, want := range map[string]any{"general.name": "my model", "general.file_type": uint32(1),
		"tokenizer.ggml.bos_token_id": uint32(256), "tokenizer.ggml.eos_token_id": uint32(257),
		"tokenizer.ggml.eot_token_id": uint32(65), "tokenizer.ggml.padding_token_id": uint32(257),
		"tokenizer.chat_template": "{{ messages }}", "tokenizer.ggml.pre": "gpt-2"} {
		if got, _ := gguf.Value[any](f, key); got != want {
			t.Errorf("%s is %v, want %v", key, got, want)
		}
	}
	if _, err := (GGUF{From: from, Out: out, Type: gguf.F16}).Write(); !errors.Is(err, fault.ErrData) ||
		!strings.Contains(err.Error(), "exists already") {
		t.Errorf("a second time: %v", err)
	}
	small, err := modeldir.Folder(out)
	if err != nil {
		t.Fatal(err)
	}
	if tpl, err := chat.Find(small); err != nil || tpl == nil || tpl.Source != "{{ messages }}" {
		t.Errorf("the template comes back as %+v (%v)", tpl, err)
	}
	traintest.WriteFile(t, filepath.Join(small, "marker"), "")
	if again, err := modeldir.Folder(out); err != nil || again != small {
		t.Errorf("the folder of the same file is %s, then %s (%v)", small, again, err)
	}
	if c, err := modeldir.Config(out); err != nil || c.Hidden != 32 || !model.IsGGUF(out) {
		t.Errorf("%+v, %v", c, err)
	}
}

// One value of one tensor is another, by as little as the type can say: the logits would
// not show it, the bits do. Values that are right under another configuration show in the
// logits of the model rounded in memory.
func TestVerifyFindsOneValue(t *testing.T) {
	traintest.RequireAdapter(t)
	from, dir := folder(t, "llama"), t.TempDir()
	for _, dtype := range []string{"q4_0", "q8_0", "bf16"} {
		kind, err := gguf.ParseType(dtype)
		if err != nil {
			t.Fatal(err)
		}
		out := filepath.Join(dir, dtype+".gguf")
		if _, err := (GGUF{From: from, Out: out, Type: kind}).Write(); err != nil {
			t.Fatal(err)
		}
		b, err := os.ReadFile(out)
		if err != nil {
			t.Fatal(err)
		}
		f, err := gguf.Open(out)
		if err != nil {
			t.Fatal(err)
		}
		x, _ := f.Tensor("blk.1.ffn_up.weight")
		blocks, err := f.Blocks(x)
		if err != nil {
			t.Fatal(err)
		}
		b[bytes.Index(b, blocks)+len(blocks)-2] ^= 1
		f.Close()
		bad := filepath.Join(dir, dtype+"-bad.gguf")
		traintest.WriteFile(t, bad, string(b))
		v := Verify{Source: from, Written: bad, Texts: []string{"All human beings"}, Bound: 1, Device: adapter()}
		if _, err := v.Run(); !errors.Is(err, fault.ErrData) || !strings.Contains(err.Error(), "1 of the ") {
			t.Errorf("%s: %v", dtype, err)
		}
	}
	config := filepath.Join(from, "config.json")
	text, err := os.ReadFile(config)
	if err != nil {
		t.Fatal(err)
	}
	traintest.WriteFile(t, config, regexp.MustCompile(`"rope_theta": *[0-9.]+`).ReplaceAllString(string(text),
		`"rope_theta": 100.0`))
	v := Verify{Source: from, Written: filepath.Join(dir, "q4_0.gguf"), Texts: []string{"All human beings"}, Bound: 1,
		Device: adapter()}
	if _, err := v.Run(); !errors.Is(err, fault.ErrData) || !strings.Contains(err.Error(), "its configuration is another") {
		t.Errorf("another rotary base: %v", err)
	}
	if _, err := (Verify{Source: from, Device: adapter()}).Run(); !errors.Is(err,
		fault.ErrData) || !strings.Contains(err.Error(), "has no adapter") {
		t.Errorf("nothing to compare with: %v", err)
	}
}
