package config

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

const good = `schema = 1
[run]
name = "t"
seed = 7
[model]
path = "base"
[data]
temperature = 2
[[data.source]]
lang = "sw"
path = "sw.jsonl"
[[data.source]]
lang = "zu"
heldout = "sw.jsonl"
train = false
[batch]
rows = 4
seq_len = 64
[objective]
method = "cagrad"
options = {c = 0.4}
[optim]
lr = 1e-3
[schedule]
steps = 10
`

// files makes a folder with files of these names, "NAME=CONTENT" or empty objects.
func files(t *testing.T, dir string, names ...string) string {
	t.Helper()
	for _, name := range names {
		name, text, ok := strings.Cut(name, "=")
		if !ok {
			text = "{}"
		}
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// write puts text and the files it names into a folder.
func write(t *testing.T, text string) string {
	t.Helper()
	dir := t.TempDir()
	for name, body := range map[string]string{"run.toml": text, "sw.jsonl": "{}\n"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(body), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	files(t, filepath.Join(dir, "base"), "config.json", "tokenizer.json", "model.safetensors")
	return filepath.Join(dir, "run.toml")
}

func TestLoad(t *testing.T) {
	path := write(t, good)
	c, err := Load(path, []string{"optim.lr=2e-4", "objective.method=mgda", "device.memory=2GB", "objective.options.c=0.5",
		"device.adapter=0"})
	if err != nil {
		t.Fatal(err)
	}
	if c.Optim.LR != 2e-4 || c.Objective.Method != "mgda" || c.Objective.Options["c"] != 0.5 || c.Device.Memory != 2<<30 ||
		c.Device.Adapter != "0" {
		t.Errorf("overrides not applied: %+v", c)
	}
	if !c.Data.Source[0].Train || c.Data.Source[1].Train || c.Data.MaxLen != 64 || c.Data.Temperature != 2 {
		t.Errorf("defaults or values wrong: %+v", c.Data)
	}
	if got := c.Resolve("base"); got != filepath.Join(filepath.Dir(path), "base") {
		t.Errorf("Resolve = %s", got)
	}
	for key, want := range map[string]string{"optim.lr": "-o", "run.seed": path + ":4", "optim.clip": "default",
		"data.source.1.train": path + ":15"} {
		if got := c.Origin(key); got != want {
			t.Errorf("Origin(%s) = %s, want %s", key, got, want)
		}
	}
	var b strings.Builder
	c.Show(&b)
	for _, want := range []string{"optim.lr ", "0.0002", "# -o", "data.source.1.lang", `"zu"`} {
		if !strings.Contains(b.String(), want) {
			t.Errorf("Show lacks %q:\n%s", want, b.String())
		}
	}
}

// Each mistake must be refused with its place, its cause and a way out.
func TestMistakes(t *testing.T) {
	for name, c := range map[string]struct {
		from, to  string // edit of the good file
		overrides []string
		want      []string
	}{
		"unknown key":           {"lr = 1e-3", "learning_rate = 1e-3", nil, []string{":23", `unknown key "optim.learning_rate"`, `"lr" in [optim]`}},
		"typo":                  {"seed = 7", "sede = 7", nil, []string{":4", `did you mean "seed" in [run]`}},
		"wrong section":         {"steps = 10", "steps = 10\nseq_len = 3", nil, []string{":26", `did you mean "seq_len" in [batch]`}},
		"wrong case":            {"lr = 1e-3", "LR = 1e-3", nil, []string{":23", "lower case"}},
		"unknown table":         {"[optim]", "[optimizer]", nil, []string{":22", `unknown key "optimizer"`}},
		"in an array element":   {"train = false", "trian = false", nil, []string{":15", `"train" in [[data.source]]`}},
		"wrong type":            {"lr = 1e-3", `lr = "1e-3"`, nil, []string{":23", "wrong type", "optim.lr", "lr = ", "# in [optim]"}},
		"float for an integer":  {"rows = 4", "rows = 4.5", nil, []string{":17", "takes an integer", "fix: rows = "}},
		"syntax":                {"lr = 1e-3", "lr = ", nil, []string{":23"}},
		"duplicate":             {"lr = 1e-3", "lr = 1e-3\nlr = 2", nil, []string{":24"}},
		"missing file":          {`path = "sw.jsonl"`, `path = "nope.jsonl"`, nil, []string{":11", "nope.jsonl is not a file"}},
		"missing model":         {`path = "base"`, `path = "bass"`, nil, []string{":6", "is not a folder"}},
		"no model":              {`path = "base"`, ``, nil, []string{"no base model", "fix:"}},
		"two lengths":           {"steps = 10", "steps = 10\nepochs = 1", nil, []string{"exactly one", "-o schedule.epochs=0"}},
		"no length":             {"steps = 10", "", nil, []string{"exactly one"}},
		"enum":                  {"steps = 10", "steps = 10\nkind = \"cosin\"", nil, []string{":26", `kind = "cosine"`}},
		"contradicting sources": {`lang = "zu"`, `lang = "sw"`, nil, []string{":13", "same train"}},
		"weights of a stranger": {"[optim]", "[objective.weights]\nxx = 1.0\n[optim]", nil,
			[]string{"not a trained language"}},
		"range":               {"lr = 1e-3", "lr = -1.0", nil, []string{":23", "outside"}},
		"betas":               {"lr = 1e-3", "betas = [0.9]", nil, []string{":23", "1 values, want 2"}},
		"override key":        {"", "", []string{"optim.lrr=1"}, []string{"-o optim.lrr=1", `did you mean "lr"`}},
		"override type":       {"", "", []string{"optim.lr=fast"}, []string{"-o optim.lr=fast", "wrong type", "fix: lr = "}},
		"override form":       {"", "", []string{"optim.lr"}, []string{"section.key=value"}},
		"override of a list":  {"", "", []string{"data.source.lang=x"}, []string{"cannot be overridden"}},
		"override range":      {"", "", []string{"optim.lr=-1"}, []string{"-o optim.lr", "outside"}},
		"inline sources":      {"[[data.source]]\nlang = \"sw\"\npath = \"sw.jsonl\"\n[[data.source]]\nlang = \"zu\"\nheldout = \"sw.jsonl\"\ntrain = false", "source = [{lang=\"b\", path=\"sw.jsonl\", train=false}]", nil, []string{":9", "[[data.source]]"}},
		"no steps":            {"", "", []string{"schedule.steps=0"}, []string{"-o schedule.steps", "length 0"}},
		"endless":             {"steps = 10", "epochs = inf", nil, []string{"schedule.epochs", "outside"}},
		"method option":       {"method = \"cagrad\"", "method = \"cagrad\"\nc = 0.4", nil, []string{":21", "c in [objective.options]"}},
		"memory":              {"", "", []string{"device.memory=lots"}, []string{"not a size"}},
		"int8 with a metric":  {"", "", []string{"optim.moments=int8", "objective.metric=adam"}, []string{"-o optim.moments", `moments = ""`}},
		"in backward, ZeRO-1": {"", "", []string{"optim.in_backward=true", "cluster.listen=:1", "cluster.sync=parameters"}, []string{"-o optim.in_backward", `sync = "gradients"`}},
		"slices, ZeRO-1":      {"", "", []string{"cluster.slice=1MB", "cluster.listen=:1", "cluster.sync=parameters"}, []string{"-o cluster.slice", `slice = ""`}},
		"a drop of upload":    {"", "", []string{"cluster.upload_limit=20KB", "cluster.listen=:1"}, []string{"-o cluster.upload_limit", `upload_limit = "64KB"`}},
		"slices, outer":       {"", "", []string{"cluster.slice=1MB", "cluster.listen=:1", "cluster.outer=2"}, []string{"-o cluster.slice", `slice = ""`}},
		"in backward, outer":  {"", "", []string{"optim.in_backward=true", "cluster.listen=:1", "cluster.outer=2"}, []string{"-o optim.in_backward", "outer = 0"}},
		"in backward, micro":  {"", "", []string{"optim.in_backward=true", "batch.accumulate=2"}, []string{"-o batch.accumulate", "accumulate = 1"}},
		"adafactor's moments": {"", "", []string{"optim.name=adafactor", "optim.moments=bf16"}, []string{"-o optim.moments", `moments = ""`}},
		"adafactor's betas":   {"", "", []string{"optim.name=adafactor", "optim.betas=[0.9, 0.99]"}, []string{"-o optim.betas", "betas = [0.0, 0.999]"}},
		"adafactor's metric":  {"", "", []string{"optim.name=adafactor", "objective.metric=adam"}, []string{"-o objective.metric", `metric = "euclidean"`}},
		"bf16 with probes":    {"", "", []string{"model.dtype=bf16", "probe.every=5"}, []string{"-o probe.every", "every = 0"}},
	} {
		t.Run(name, func(t *testing.T) {
			text := good
			if c.from != "" {
				text = strings.Replace(good, c.from, c.to, 1)
			}
			_, err := Load(write(t, text), c.overrides)
			var e *Error
			if !errors.As(err, &e) {
				t.Fatalf("error is %T %v, want *Error", err, err)
			}
			for _, w := range c.want {
				if !strings.Contains(err.Error(), w) {
					t.Errorf("message lacks %q:\n%v", w, err)
				}
			}
		})
	}
}

// A number outside its range is refused, on both sides.
func TestRanges(t *testing.T) {
	path := write(t, good)
	for key, outside := range map[string][]string{
		"schedule.min_ratio": {"2", "-0.1", "1.0001"}, "schedule.warmup": {"-1"}, "optim.clip": {"-1"}, "optim.eps": {"0", "2"}, "optim.weight_decay": {"-1"},
		"optim.betas": {"[0.9, 1.0]", "[-0.1, 0.9]"}, "data.temperature": {"0", "-1", "nan"}, "data.max_len": {"1", "100000"}, "batch.rows": {"0"}, "batch.seq_len": {"1"},
		"batch.accumulate": {"0"}, "batch.logits_chunk": {"-1"}, "eval.rows": {"-1"}, "eval.every": {"-1"}, "checkpoint.every": {"-1"}, "checkpoint.keep": {"0"},
		"log.every": {"0"}, "log.gram_every": {"-1"}, "probe.every": {"-1"}, "device.read_timeout": {"0"}, "objective.in_flight": {"-1", "65"},
	} {
		for _, v := range outside {
			_, err := Load(path, []string{key + "=" + v})
			if e := (*Error)(nil); !errors.As(err, &e) || !strings.Contains(err.Error(), "-o "+key) {
				t.Errorf("%s=%s: %v", key, v, err)
			}
		}
	}
	for _, fine := range []string{"schedule.min_ratio=0", "schedule.min_ratio=1"} {
		if _, err := Load(path, []string{fine}); err != nil {
			t.Errorf("%s: %v", fine, err)
		}
	}
}

func TestParseSize(t *testing.T) {
	for s, want := range map[string]Size{"512MB": 512 << 20, "6 GiB": 6 << 30, "1.5GB": 3 << 29, "4000000": 4000000, "4kb": 4096} {
		if got, err := ParseSize(s); err != nil || got != want {
			t.Errorf("ParseSize(%q) = %d, %v, want %d", s, got, err, want)
		}
	}
	for _, s := range []string{"", "GB", "-1GB", "0", "1TBB", "1e99GB", "6"} {
		if _, err := ParseSize(s); err == nil {
			t.Errorf("ParseSize(%q) accepted", s)
		}
	}
}

func FuzzParse(f *testing.F) {
	f.Add(good)
	f.Add("[[data.source]]\n[a.b]\nx={y=1}")
	f.Fuzz(func(t *testing.T, text string) {
		if _, err := Parse("run.toml", text, nil); err != nil {
			var e *Error
			if !errors.As(err, &e) {
				t.Fatalf("%T is not an *Error", err)
			}
		}
	})
}
