package config

import (
	"errors"
	"path/filepath"
	"strings"
	"testing"
)

// Every key's example is a line that a run file takes, and that changes the key.
func TestExamples(t *testing.T) {
	base := map[string]string{
		"[run]": "", "[model]": `path = "base"`, "[data]": "", "[batch]": "seq_len = 1024", "[schedule]": "steps = 10",
		"[[data.source]]": "lang = \"sw\"\npath = \"sw.jsonl\"", "[[objective.override]]": "match = \"a\"\nmethod = \"mean\"",
	}
	instead := map[string]string{ // lines of the base that do not go with a key
		"model.path": `path = "base"`, "schedule.steps": "steps = 10", "schedule.epochs": "steps = 10", "schedule.tokens": "steps = 10",
		"data.source.lang": `lang = "sw"`, "data.source.path": `path = "sw.jsonl"`, "data.source.lang_column": `lang = "sw"`, "batch.seq_len": "seq_len = 1024",
		"objective.override.match": `match = "a"`, "objective.override.method": `method = "mean"`,
	}
	with := map[string]string{"data.source.langs": `lang_column = "l"`,
		"data.source.train": "heldout = \"data/sw.heldout.jsonl\"\ntrain = true", "cluster.sync": `listen = ":1"`,
		"eval.patience": "every = 50", "eval.min_gain": "every = 50\npatience = 3",
		"model.base_type": `freeze = ["*embed*"]`, "model.embedding_type": `freeze = ["*embed*"]`, "adapter.rank": `kind = "lora"`, "adapter.alpha": `kind = "lora"`, "adapter.targets": `kind = "lora"`, "adapter.save": `kind = "lora"`,
		"adapter.dora": `kind = "lora"`, "adapter.dropout": `kind = "lora"`, "adapter.layers": `kind = "lora"`, "adapter.rank_pattern": `kind = "lora"`,
		"adapter.alpha_pattern": `kind = "lora"`}
	sections := Sections()
	keys := Keys()
	if len(keys) < 80 {
		t.Fatalf("%d keys", len(keys))
	}
	for _, k := range keys {
		t.Run(k.Name, func(t *testing.T) {
			text := ""
			for _, s := range sections {
				lines := base[s]
				if s == k.Section() {
					lines = strings.Replace(lines, instead[k.Name], "", 1) + "\n" + k.Example
					if k.Name == "data.source.langs" {
						lines = strings.Replace(lines, `lang = "sw"`, "", 1)
					}
					if extra := with[k.Name]; extra != "" && k.Name != "data.source.train" {
						lines += "\n" + extra
					}
				} else if k.Name == "data.source.train" && s == "[[data.source]]" {
					continue
				}
				if s == "[[objective.override]]" && k.Section() != s {
					continue
				}
				if s == "" {
					text = lines + "\n" + text
					continue
				}
				text += s + "\n" + lines + "\n"
			}
			if k.Name == "data.source.train" { // beside a language that is trained
				text = strings.Replace(text, k.Example, k.Example+"\n[[data.source]]\nlang = \"yo\"\npath = \"sw.jsonl\"", 1)
			}
			path := write(t, text)
			dir := filepath.Dir(path)
			files(t, filepath.Join(filepath.Dir(dir), "base"), "config.json", "tokenizer.json", "model.safetensors")
			files(t, dir, "data/sw/a.jsonl.gz", "data/sw.heldout.jsonl")
			files(t, filepath.Join(filepath.Dir(dir), "adapter"), "adapter_config.json")
			c, err := Load(path, nil)
			if err != nil {
				t.Fatalf("%v\n%s", err, text)
			}
			if k.Meaning == "" || strings.HasSuffix(k.Example, "= ") {
				t.Errorf("%+v: no meaning or no example", k)
			}
			var shown strings.Builder
			c.Show(&shown)
		})
	}
}

// Bounds and values of the tags hold, and are said with the key's place and a fix.
func TestTags(t *testing.T) {
	for line, says := range map[string]string{
		"[eval]\nevery = -1": "outside 0 … 1e+12", "[checkpoint]\nkeep = 0": "keep = 2", "[cluster]\nsilence = 0.5": "outside 1 … 3600", "[cluster]\nwire = \"f16\"": `wire = "f32"`,
		"[device]\nmemory = \"lots\"": "not a size", "[device]\nbackend = \"opengl\"": `"vulkan"`, "[cluster]\nupload_limit = \"6\"": "not a size", "[schedule]\nmin_ratio = 2.0": "outside 0 … 1",
		"[objective.noise]\nfloor = 1.5": "floor = 0.1", "[[data.source]]\nlang = \"x\"\npath = \"sw.jsonl\"\nformat = \"yaml\"": `"parquet"`, "[data]\nmax_repeat = 0.5": "1 or more",
	} {
		text := good
		if section, rest, _ := strings.Cut(line, "\n"); strings.Contains(good, section+"\n") && section[1] != '[' {
			text = strings.Replace(good, section+"\n", section+"\n"+rest+"\n", 1)
		} else {
			text += line + "\n"
		}
		_, err := Load(write(t, text), nil)
		var e *Error
		if !errors.As(err, &e) || !strings.Contains(err.Error(), says) || !strings.Contains(e.Where, "run.toml:") {
			t.Errorf("%s: error %v does not say %q with a place", line, err, says)
		}
	}
}

// Aligned languages have keys and are read alike.
func TestAlign(t *testing.T) {
	path := write(t, good)
	for says, over := range map[string][]string{
		"":               {"data.align=line", "data.temperature=1"},
		`key = "id"`:     {"data.align=key", "data.temperature=1"},
		"read alike":     {"data.align=line", "data.temperature=2"},
		"the opposite":   {"data.align=line", "data.temperature=1", "data.mixing=iid"},
		`align = "line"`: {"data.align=lines"},
		`mixing = "iid"`: {"data.mixing=idd"},
	} {
		_, err := Load(path, over)
		if says == "" && err != nil || says != "" && (err == nil || !strings.Contains(err.Error(), says)) {
			t.Errorf("%v: %v, want %q", over, err, says)
		}
	}
}

// Explain finds a key by its name, by the last part of it, and a whole section; a slip
// gets the nearest.
func TestExplain(t *testing.T) {
	for name, n := range map[string]int{"optim.lr": 1, "lr": 1, "every": 5, "data.source": 12} {
		if got, err := Explain(name); err != nil || len(got) != n {
			t.Errorf("%s: %d keys, %v; want %d", name, len(got), err, n)
		}
	}
	for name, want := range map[string]string{"optim.lrr": `"lr" in [optim]`, "learning_rate": `"lr" in [optim]`} {
		if _, err := Explain(name); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// A size is written as it is read.
func TestSizeText(t *testing.T) {
	for _, s := range []Size{0, 1 << 20, 6 << 30, 3 << 29, 4000000, 1 << 40} {
		b, err := s.MarshalText()
		var back Size
		if err == nil {
			err = back.UnmarshalText(b)
		}
		if err != nil || back != s {
			t.Errorf("%d is written %q and read %d, %v", s, b, back, err)
		}
	}
}
