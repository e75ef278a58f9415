package data

import (
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
)

// The halves of a held-out file are disjoint, together the whole, equal in size
// but for one, and do not depend on the order of the lines.
func TestDivide(t *testing.T) {
	dir := t.TempDir()
	var lines []string
	for i := range 21 {
		lines = append(lines, fmt.Sprintf(`{"prompt":"p%d","completion":"a"}`, i), fmt.Sprintf(`{"prompt":"p%d","completion":"b"}`, i))
	}
	forward := writeTemp(t, dir, "f.jsonl", "\uFEFF"+strings.Join(lines, "\r\n")+"\n\n")
	var back []string
	for i := range lines {
		back = append(back, lines[len(lines)-1-i])
	}
	backward := writeTemp(t, dir, "b.jsonl", strings.Join(back, "\n"))
	h, err := Divide(Source{Lang: "xx", HeldoutPath: forward})
	if err != nil {
		t.Fatal(err)
	}
	if h.NumValid != 22 || h.NumTest != 20 || h.Ext != ".jsonl" || h.Train != nil {
		t.Errorf("halves of %d and %d, %q", h.NumValid, h.NumTest, h.Ext)
	}
	side := map[string]int{}
	for half, text := range []string{string(h.Valid), string(h.Test)} {
		for line := range strings.Lines(text) {
			side[strings.TrimSpace(line)] = half + 1
		}
	}
	for i, line := range lines {
		if side[line] == 0 || side[line] != side[lines[i/2*2]] {
			t.Errorf("%s is in half %d", line, side[line])
		}
	}
	r, err := Divide(Source{Lang: "xx", HeldoutPath: backward})
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(r.Valid)) {
		if side[strings.TrimSpace(line)] != 1 {
			t.Errorf("another order, another half: %s", line)
		}
	}
}

// What is left of a file of which a fraction is held out is exactly what the
// run would train on; a paragraph stays one.
func TestDivideFraction(t *testing.T) {
	var b strings.Builder
	for i := range 60 {
		fmt.Fprintf(&b, "first line of %d\nsecond\n\n", i)
	}
	path := writeTemp(t, t.TempDir(), "x.txt", b.String())
	src := Source{Lang: "xx", Path: path, Holdout: 0.3, Train: true}
	h, err := Divide(src)
	if err != nil {
		t.Fatal(err)
	}
	train, held, err := src.documents()
	if err != nil {
		t.Fatal(err)
	}
	if h.NumValid+h.NumTest != len(held) || h.NumValid-h.NumTest > 1 || len(held) < 5 || h.Ext != ".txt" {
		t.Errorf("halves of %d and %d of %d", h.NumValid, h.NumTest, len(held))
	}
	again := parseText(path, string(h.Train))
	if len(again) != len(train) {
		t.Fatalf("%d documents to train on, want %d", len(again), len(train))
	}
	for i := range train {
		if !reflect.DeepEqual(again[i].parts, train[i].parts) {
			t.Errorf("document %d is %v, want %v", i, again[i].parts, train[i].parts)
		}
	}
}

// An evaluation-only source may mix paragraphs and JSON; documents that are
// trained on as well are counted.
func TestDivideMixed(t *testing.T) {
	dir := t.TempDir()
	text := writeTemp(t, dir, "x.txt", "one \"quoted\"\n\ntwo\n")
	lines := writeTemp(t, dir, "x.jsonl", "{\"text\":\"three\"}\n{\"text\":\"four\"}\n")
	h, err := Divide(Source{Lang: "xx", Path: text, HeldoutPath: lines})
	if err != nil {
		t.Fatal(err)
	}
	docs, err := parseJSONL("both", append(h.Valid, h.Test...))
	if err != nil || len(docs) != 4 || h.NumTest != 2 {
		t.Fatalf("%d documents: %v", len(docs), err)
	}
	found := map[string]bool{}
	for _, d := range docs {
		found[d.parts[0].text] = true
	}
	if !found[`one "quoted"`] || !found["four"] {
		t.Errorf("%v", found)
	}
	h, err = Divide(Source{Lang: "xx", Path: text, HeldoutPath: text, Train: true})
	if err != nil || h.Shared != 2 {
		t.Errorf("%d shared: %v", h.Shared, err)
	}
}

func writeTemp(t *testing.T, dir, name, text string) string {
	t.Helper()
	path := filepath.Join(dir, name)
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	return path
}
