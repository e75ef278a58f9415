package config

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

const pointer = "version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 269062936\n"

// Whatever model.path is instead of a model is said by what it is, with the way out.
func TestModelPathIsSaidByWhatItIs(t *testing.T) {
	whole := []string{"m/config.json", "m/tokenizer.json", "m/model.safetensors"}
	for name, c := range map[string]struct {
		path  string
		files []string
		want  []string
	}{
		"nothing":               {"m", nil, []string{"is not a folder", "config.json"}},
		"hub id":                {"HuggingFaceTB/SmolLM2-135M", nil, []string{"hub", "hf download HuggingFaceTB/SmolLM2-135M --local-dir models/SmolLM2-135M"}},
		"backslashes":           {`..\m`, nil, []string{"write /"}},
		"gguf":                  {"m.bin", []string{"m.bin=GGUF\x03"}, []string{"GGUF file whose name does not end in .gguf", "ln -s "}},
		"no gguf":               {"m.gguf", []string{"m.gguf=PK\x03\x04"}, []string{"archive"}},
		"folder of gguf":        {"m", []string{"m/a.gguf=GGUF\x03"}, []string{"GGUF file (a.gguf)", `/m/a.gguf"`}},
		"weights":               {"m/model.safetensors", whole, []string{"file of weights", `/m"`}},
		"pickle":                {"m/pytorch_model.bin", []string{"m/pytorch_model.bin"}, []string{"pickle", "safe_serialization=True"}},
		"archive":               {"m.zip", []string{"m.zip=PK\x03\x04"}, []string{"archive", "unpack"}},
		"pointer":               {"m.bin", []string{"m.bin=" + pointer}, []string{"git-lfs pointer", "lfs pull"}},
		"some file":             {"m.txt", []string{"m.txt"}, []string{"a file, not a folder"}},
		"adapter":               {"m", []string{`m/adapter_config.json={"base_model_name_or_path": "org/base"}`}, []string{"PEFT adapter", `(of "org/base")`, `from = "`}},
		"mlx adapter":           {"m", []string{"m/adapters.safetensors"}, []string{"mlx-lm", "mlx_lm.fuse"}},
		"run":                   {"m", []string{"m/run.lock.json", "m/model/config.json"}, []string{"folder of a run", `/m/model"`}},
		"hub cache folder":      {"m", []string{"m/snapshots/abc/config.json"}, []string{"a folder in it has", `/m/snapshots/abc"`}},
		"original form":         {"m", []string{"m/consolidated.00.pth", "m/params.json"}, []string{"its maker's own form"}},
		"empty":                 {"m", []string{"m/readme.md"}, []string{"no Hugging Face model"}},
		"bin only":              {"m", []string{"m/config.json", "m/tokenizer.json", "m/pytorch_model.bin"}, []string{"pickles only", "safe_serialization=True"}},
		"half downloaded":       {"m", []string{"m/config.json", "m/tokenizer.json", "m/model.safetensors.incomplete"}, []string{"in part", "finish the download"}},
		"other name":            {"m", []string{"m/config.json", "m/tokenizer.json", "m/weights.safetensors"}, []string{"weights.safetensors", "rename"}},
		"tensorflow":            {"m", []string{"m/config.json", "m/tokenizer.json", "m/tf_model.h5"}, []string{"TensorFlow"}},
		"no weights":            {"m", []string{"m/config.json", "m/tokenizer.json"}, []string{"no weights", `init = "random"`}},
		"sentencepiece":         {"m", []string{"m/config.json", "m/model.safetensors", "m/tokenizer.model"}, []string{"SentencePiece", "AutoTokenizer"}},
		"old tokenizer":         {"m", []string{"m/config.json", "m/model.safetensors", "m/vocab.json", "m/merges.txt"}, []string{"merges.txt", "AutoTokenizer"}},
		"no tokenizer":          {"m", []string{"m/config.json", "m/model.safetensors"}, []string{"no tokenizer.json"}},
		"pointer of weights":    {"m", []string{"m/config.json", "m/tokenizer.json", "m/model.safetensors=" + pointer}, []string{"model.safetensors is a git-lfs pointer"}},
		"pointer of a shard":    {"m", []string{"m/config.json", "m/tokenizer.json", "m/model.safetensors.index.json", "m/model-1.safetensors=" + pointer}, []string{"model-1.safetensors is a git-lfs pointer"}},
		"pointer of tokenizer":  {"m", []string{"m/config.json", "m/tokenizer.json=" + pointer, "m/model.safetensors"}, []string{"tokenizer.json is a git-lfs pointer"}},
		"home of someone":       {"~other/m", nil, []string{"only ~/ is expanded"}},
		"variable":              {"$HOME/m", nil, []string{"$HOME are not expanded"}},
		"variable of Windows":   {"%USERPROFILE%/m", nil, []string{"%USERPROFILE% are not expanded"}},
		"URL":                   {"https://huggingface.co/org/m", nil, []string{"URL", "nothing is downloaded"}},
		"chance escapes":        {"out\new", nil, []string{"control character", "single"}},
		"carriage return":       {"out\rew", nil, []string{"control character"}},
		"brackets in the path":  {"[m]", []string{"[m]/a.gguf"}, []string{"GGUF file (a.gguf)"}},
		"two levels of folders": {"m", []string{"m/sub/config.json"}, []string{`/m/sub"`}},
	} {
		t.Run(name, func(t *testing.T) {
			path := write(t, good)
			files(t, filepath.Dir(path), c.files...)
			t.Setenv("HOME", t.TempDir())
			text := strings.Replace(good, `path = "base"`, "path = "+tomlString(c.path), 1)
			_, err := Parse(path, text, nil)
			if err == nil {
				t.Fatal("accepted")
			}
			for _, w := range append(c.want, ":6") {
				if !strings.Contains(err.Error(), w) {
					t.Errorf("message lacks %q:\n%v", w, err)
				}
			}
		})
	}
}

// tomlString is s in double quotes.
func tomlString(s string) string {
	return `"` + strings.NewReplacer(`\`, `\\`, "\n", `\n`, "\r", `\r`).Replace(s) + `"`
}

func TestModelPathOfHubCache(t *testing.T) {
	home := t.TempDir()
	t.Setenv("HOME", home)
	t.Setenv("HF_HOME", "")
	files(t, home, ".cache/huggingface/hub/models--org--m/snapshots/abc/config.json")
	_, err := Parse(write(t, good), strings.Replace(good, `path = "base"`, `path = "org/m"`, 1), nil)
	if err == nil || !strings.Contains(err.Error(), "models--org--m/snapshots/abc\"") {
		t.Errorf("the cached files are not named: %v", err)
	}
}

// Random weights need no file of weights.
func TestRandomModelNeedsNoWeights(t *testing.T) {
	path := write(t, good)
	os.Remove(filepath.Join(filepath.Dir(path), "base", "model.safetensors"))
	if _, err := Load(path, []string{"model.init=random"}); err != nil {
		t.Error(err)
	}
}

// A leading ~ is the home folder in every path of a run file and of -o.
func TestHomeFolder(t *testing.T) {
	home := t.TempDir()
	t.Setenv("HOME", home)
	files(t, home, "base/config.json", "base/tokenizer.json", "base/model.safetensors", "sw.jsonl")
	text := strings.NewReplacer(`"base"`, `"~/base"`, `"sw.jsonl"`, `"~/sw.jsonl"`).Replace(good)
	c, err := Load(write(t, text), []string{"run.dir=~/runs", `device.cache_dir="~"`})
	if err != nil {
		t.Fatal(err)
	}
	for got, want := range map[string]string{c.OutDir(): home + "/runs/t", c.Resolve(c.Model.Path): home + "/base",
		c.ResolveAll(c.Data.Source[0].Path)[0]: home + "/sw.jsonl", c.ResolveAll(c.Data.Source[1].Heldout)[0]: home + "/sw.jsonl",
		c.Device.CacheDir: home} {
		if got != filepath.FromSlash(want) {
			t.Errorf("%s, want %s", got, want)
		}
	}
}

// A backslash in double quotes is explained where TOML refuses it.
func TestBackslashPath(t *testing.T) {
	_, err := Load(write(t, strings.Replace(good, `"sw.jsonl"`, `"data\audio\s.jsonl"`, 1)), nil)
	if err == nil || !strings.Contains(err.Error(), "single quotes") || !strings.Contains(err.Error(), ":11") {
		t.Errorf("error %v", err)
	}
}

// TestStoredNeedsNoWeights: a machine that joins a run, and a run that is resumed, get
// the weights from elsewhere.
func TestStoredNeedsNoWeights(t *testing.T) {
	dir := t.TempDir()
	for _, name := range []string{"config.json", "tokenizer.json"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte("{}"), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	c := Default()
	c.Model.Path = dir
	if err := c.modelPath(); err == nil {
		t.Error("a new run without weights is taken")
	}
	if err := Restore(filepath.Join(dir, "run.toml"), c).modelPath(); err != nil {
		t.Error(err)
	}
}
