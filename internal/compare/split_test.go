package compare

import (
	"fmt"
	"io"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"concord/internal/config"
	"concord/internal/train"
	"concord/internal/train/traintest"
)

// splitRun writes a run file with a source of every kind: a held-out file, a
// fraction, plain text to measure only, and nothing held out.
func splitRun(t *testing.T) train.Varied {
	t.Helper()
	dir := t.TempDir()
	traintest.Base(t, filepath.Join(dir, "base"), nil)
	for i, name := range []string{"aa", "bb", "cc"} {
		traintest.WriteFile(t, filepath.Join(dir, name+".jsonl"), traintest.Examples(i, 0, 60))
	}
	traintest.WriteFile(t, filepath.Join(dir, "aa.held.jsonl"), traintest.Examples(0, 60, 67))
	var text strings.Builder
	for i := range 9 {
		fmt.Fprintf(&text, "t%d\n\n", i)
	}
	traintest.WriteFile(t, filepath.Join(dir, "dd.txt"), text.String())
	path := filepath.Join(dir, "run.toml")
	traintest.WriteFile(t, path, `[model]
path = "base"
[batch]
rows = 4
seq_len = 16
[schedule]
steps = 2
[[data.source]]
lang = "aa"
path = "aa.jsonl"
heldout = "aa.held.jsonl"
[[data.source]]
lang = "bb"
path = "bb.jsonl"
holdout = 0.3
[[data.source]]
lang = "cc"
path = "cc.jsonl"
[[data.source]]
lang = "dd"
path = "dd.txt"
train = false
`)
	cfg, err := config.Load(path, nil)
	if err != nil {
		t.Fatal(err)
	}
	return train.Vary(cfg)
}

// What is trained on stays the same; every held-out example is in one of the
// halves.
func TestSplit(t *testing.T) {
	cfg := splitRun(t)
	got, err := Split(cfg, t.TempDir(), io.Discard)
	if err != nil {
		t.Fatal(err)
	}
	before, err := cfg.Check()
	if err != nil {
		t.Fatal(err)
	}
	after, err := got.Check()
	if err != nil {
		t.Fatal(err)
	}
	held := map[string]int{}
	for i, d := range after.Data {
		held[strings.TrimSuffix(d.Lang, TestSuffix)] += d.Heldout
		if i < len(before.Data) {
			if b := before.Data[i]; d.Lang != b.Lang || d.Examples != b.Examples || d.Tokens != b.Tokens || d.Bytes != b.Bytes {
				t.Errorf("%s trains on %+v, before on %+v", d.Lang, d, b)
			}
		} else if d.Seen || !strings.HasSuffix(d.Lang, TestSuffix) || d.Heldout == 0 {
			t.Errorf("a source %+v", d)
		}
	}
	want := map[string]int{}
	for _, b := range before.Data {
		want[b.Lang] = b.Heldout
	}
	if !reflect.DeepEqual(held, want) || len(after.Data) != 4+3 {
		t.Errorf("held out %v, want %v", held, want)
	}
	if cfg.Data.Sources[1].Holdout != 0.3 {
		t.Error("the configuration given has changed")
	}
}

// A source of many languages becomes one of each, with the same documents, aligned or not:
// the halves of aligned languages have the same keys.
func TestSplitAColumn(t *testing.T) {
	for _, align := range []string{"", "key", "line"} {
		cfg := splitRun(t)
		var column, aa strings.Builder
		for i := range 40 {
			fmt.Fprintf(&aa, `{"id": %d, "text": "a%d"}`+"\n", i, i)
			for _, lang := range []string{"zz", "yy"} {
				fmt.Fprintf(&column, `{"id": %d, "lang": %q, "text": "%s%d"}`+"\n", i, lang, lang[:1], i)
			}
		}
		traintest.WriteFile(t, cfg.Resolve([]string{"all.jsonl"})[0], column.String())
		traintest.WriteFile(t, cfg.Resolve([]string{"a.jsonl"})[0], aa.String())
		all := train.Source{LangColumn: "lang", Path: []string{"all.jsonl"}, Train: true, Holdout: 0.2}
		one := train.Source{Lang: "aa", Path: []string{"a.jsonl"}, Train: true, Holdout: 0.2}
		cfg.Data.Align, cfg.Data.Sources = train.Align(align), []train.Source{one, all}
		switch align {
		case "key":
			cfg.Data.Sources[0].Key, cfg.Data.Sources[1].Key = "id", "id"
		case "line": // lines of one file are no translations: only single files have them
			cfg.Data.Sources = []train.Source{one}
		}
		langs := len(cfg.Data.Sources)*2 - 1 // 3, or aa alone
		cfg.Batch.Rows = 2 * langs
		before, err := cfg.Check()
		if err != nil {
			t.Fatal(err)
		}
		got, err := Split(cfg, t.TempDir(), io.Discard)
		if err != nil {
			t.Fatal(err)
		}
		after, err := got.Check()
		if err != nil {
			t.Fatal(align, err)
		}
		if len(after.Data) != 2*langs || after.Steps != before.Steps {
			t.Fatalf("%q: %d sources, %d steps", align, len(after.Data), after.Steps)
		}
		for i, b := range before.Data {
			d, test := after.Data[i], after.Data[langs+i]
			if d.Lang != b.Lang || d.Tokens != b.Tokens || d.Heldout+test.Heldout != b.Heldout || d.Heldout != 4 || test.Lang != b.Lang+TestSuffix {
				t.Errorf("%q: %+v and %+v of %+v", align, d, test, b)
			}
			if last := len(b.Notes) - 1; align != "" && !reflect.DeepEqual(d.Notes, b.Notes[last:]) {
				t.Errorf("%q: notes %v, before %v", align, d.Notes, b.Notes)
			}
		}
	}
}

// Dividing again writes the same files: runs in the middle of which a comparison was
// stopped have their hashes.
func TestSplitTwice(t *testing.T) {
	cfg, dir := splitRun(t), t.TempDir()
	read := func() map[string]string {
		if _, err := Split(cfg, dir, io.Discard); err != nil {
			t.Fatal(err)
		}
		entries, err := os.ReadDir(dir)
		if err != nil {
			t.Fatal(err)
		}
		out := map[string]string{}
		for _, e := range entries {
			b, err := os.ReadFile(filepath.Join(dir, e.Name()))
			if err != nil {
				t.Fatal(err)
			}
			out[e.Name()] = string(b)
		}
		return out
	}
	if first, again := read(), read(); !reflect.DeepEqual(first, again) || len(first) != 8 {
		t.Errorf("%d files, then %d: they differ", len(first), len(again))
	}
}

// Data that cannot be divided is refused with the reason.
func TestSplitRefuses(t *testing.T) {
	cfg := splitRun(t)
	one := cfg
	one.Data.Sources = []train.Source{{Lang: "aa", Path: []string{"aa.jsonl"}, Train: true, Heldout: []string{"one.jsonl"}}}
	traintest.WriteFile(t, cfg.Resolve([]string{"one.jsonl"})[0], traintest.Examples(0, 60, 61))
	if _, err := Split(one, t.TempDir(), io.Discard); err == nil || !strings.Contains(err.Error(), "needs two") {
		t.Errorf("one held-out example: %v", err)
	}
	one.Data.Sources = []train.Source{{Lang: "cc", Path: []string{"cc.jsonl"}, Train: true}}
	if _, err := Split(one, t.TempDir(), io.Discard); err == nil || !strings.Contains(err.Error(), "nothing to compare by") {
		t.Errorf("nothing held out: %v", err)
	}
	one.Data.Sources = []train.Source{{Lang: "cc:test", Path: []string{"cc.jsonl"}, Train: true}}
	if _, err := Split(one, t.TempDir(), io.Discard); err == nil || !strings.Contains(err.Error(), "cc:test") {
		t.Errorf("a name that is taken: %v", err)
	}
}
