package data

import (
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
)

// keyed makes a set whose example i has the key keys[i].
func keyed(lang string, keys []uint64, positions ...int) *Set {
	s := makeSet(lang, positions...)
	s.Keys = keys
	return s
}

// keysIn are the keys of a language's examples in a batch, in order of size.
func keysIn(b *Batch, set *Set, lang int) []uint64 {
	var out []uint64
	for _, i := range found(b, lang) {
		out = append(out, set.Keys[i])
	}
	slices.Sort(out)
	return out
}

// numbers are the keys from … to−1, in an order of their own.
func numbers(seed uint64, from, to int) []uint64 {
	var order []uint32
	for k := from; k < to; k++ {
		order = append(order, uint32(k))
	}
	newRandom(seed, "numbers", 0).shuffle(order)
	var out []uint64
	for _, k := range order {
		out = append(out, uint64(k))
	}
	return out
}

// In every step all languages have the same keys, in an epoch each key that all have
// exactly once, whatever the lengths and the rows; a key that one lacks is in none.
func TestAlignedSteps(t *testing.T) {
	a := keyed("a", numbers(1, 0, 60), lengths(1, 60, 20)...)
	b := keyed("b", numbers(2, 5, 70), lengths(2, 65, 31)...)
	c := keyed("c", numbers(3, 0, 66), lengths(3, 66, 9)...)
	sets := []*Set{a, {Lang: "unseen"}, b, c}
	trained := []*Set{a, b, c}
	for _, rows := range []int{3, 6, 12} {
		o := SamplerOptions{Rows: rows, SeqLen: 32, Seed: 7, Aligned: true}
		s := newSampler(t, o, sets...)
		al := s.Alignment()
		if al.Shared != 55 || !reflect.DeepEqual(al.Keys, []int{60, 65, 66}) || al.Long != 0 {
			t.Fatalf("%d rows: %+v", rows, al)
		}
		if got := s.StepsPerEpoch(); got != float64(al.Blocks) {
			t.Errorf("%d rows: %v steps an epoch, %d blocks", rows, got, al.Blocks)
		}
		var epochs [2][]uint64
		for step := range 2 * al.Blocks {
			batch := s.Batch(step)
			first := keysIn(batch, a, 0)
			for m, set := range trained {
				if got := keysIn(batch, set, m); !slices.Equal(got, first) || len(got) == 0 {
					t.Fatalf("%d rows, step %d: %s has the keys %v, a %v", rows, step, set.Lang, got, first)
				}
				if got := s.StepRows(step)[m]; got != rows/3 {
					t.Fatalf("%d rows of %s", got, set.Lang)
				}
			}
			epochs[step/al.Blocks] = append(epochs[step/al.Blocks], first...)
			if again := newSampler(t, o, sets...).Batch(step); step%5 == 0 && !reflect.DeepEqual(again, batch) {
				t.Errorf("step %d from scratch differs", step)
			}
		}
		if slices.Equal(epochs[0], epochs[1]) {
			t.Errorf("%d rows: the second epoch has the first one's order", rows)
		}
		for e := range epochs {
			slices.Sort(epochs[e])
			for i, k := range epochs[e] {
				if k != uint64(5+i) || len(epochs[e]) != 55 {
					t.Fatalf("%d rows, epoch %d: %v", rows, e, epochs[e])
				}
			}
		}
	}
}

// The pieces of a document that was split stay with its translations; what does not fit
// a step is counted.
func TestAlignedPieces(t *testing.T) {
	a := keyed("a", []uint64{1, 1, 2, 3, 3, 3}, 30, 8, 20, 30, 30, 30)
	b := keyed("b", []uint64{1, 2, 3}, 10, 10, 10)
	s := newSampler(t, SamplerOptions{Rows: 4, SeqLen: 32, Seed: 1, Aligned: true}, a, b)
	if al := s.Alignment(); al.Shared != 3 || al.Long != 1 || al.Blocks != 1 {
		t.Fatalf("%+v", al)
	}
	batch := s.Batch(5)
	if got := found(batch, 0); len(got) != 3 || slices.Contains(got, 3) {
		t.Errorf("a has the examples %v", got)
	}
	if got := s.TokensIn(1); got != 30+8+20+10+10 {
		t.Errorf("%v tokens", got)
	}
}

// What makes no sense is refused, with a way out.
func TestAlignedRefusals(t *testing.T) {
	a, b := keyed("a", []uint64{1, 2}, 4, 4), keyed("b", []uint64{2, 3}, 4, 4)
	for name, c := range map[string]struct {
		o    SamplerOptions
		sets []*Set
		want string
	}{
		"uneven":      {SamplerOptions{Rows: 5}, []*Set{a, b}, "make it 4 or 6"},
		"few rows":    {SamplerOptions{Rows: 1}, []*Set{a, b}, "make it 2 or 2"},
		"temperature": {SamplerOptions{Rows: 2, Temperature: 2}, []*Set{a, b}, "remove it"},
		"iid":         {SamplerOptions{Rows: 2, Mixing: IID}, []*Set{a, b}, "the opposite"},
		"no keys":     {SamplerOptions{Rows: 2}, []*Set{a, makeSet("c", 4)}, "0 of 1 examples"},
		"none shared": {SamplerOptions{Rows: 2}, []*Set{a, keyed("c", []uint64{9}, 4)}, "no key is in all"},
		"too long":    {SamplerOptions{Rows: 2}, []*Set{keyed("a", []uint64{1, 1}, 20, 20), keyed("b", []uint64{1}, 4)}, "none of 1"},
	} {
		c.o.SeqLen, c.o.Aligned = 32, true
		if _, err := NewSampler(c.sets, c.o); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// Keys come from a column, whatever the form of the file, or are the lines; what is held
// out of one language is held out of all.
func TestKeysOfFiles(t *testing.T) {
	tok := byteTokenizer(t)
	rows := func(lang string, quoted bool) string {
		var b strings.Builder
		for i := range 40 {
			key := fmt.Sprint(i)
			if quoted {
				key = `"` + key + `"`
			}
			fmt.Fprintf(&b, `{"id": %s, "text": "%s %d", "lang": "%s"}`+"\n", key, lang, i, lang)
		}
		return b.String()
	}
	csv := "id,text\n"
	for i := range 40 {
		csv += fmt.Sprintf("%d,z %d\n", i, i)
	}
	a := Source{Lang: "x", Train: true, Holdout: 0.2, Key: "id", Aligned: true, Paths: []string{write(t, "x.jsonl", rows("x", true))}}
	both := Source{LangColumn: "lang", Train: true, Holdout: 0.2, Key: "id", Aligned: true,
		Paths: []string{write(t, "y.jsonl", rows("y", false)+rows("w", false))}}
	z := Source{Lang: "z", Train: true, Holdout: 0.2, Key: "id", Aligned: true, Paths: []string{write(t, "z.csv", csv)}}
	unseen := Source{Lang: "u", Key: "id", Paths: []string{write(t, "u.txt", "no key\n")}}
	sets, err := LoadAll([]Source{a, both, z, unseen}, tok, Options{})
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range sets[:4] {
		if !slices.Equal(s.Keys, sets[0].Keys) || len(s.Keys) != 32 || s.Heldout.Len() != 8 {
			t.Errorf("%s: %d keys, %d held out", s.Lang, len(s.Keys), s.Heldout.Len())
		}
	}
	lines := func(name, text string) Source {
		return Source{Lang: name, Train: true, Key: KeyLine, Aligned: true, Format: "lines", Paths: []string{write(t, name, text)}}
	}
	sets, err = LoadAll([]Source{lines("p", "one\ntwo\n\nfour\n"), lines("q", "un\n\ntrois\nquatre\n")}, tok, Options{})
	if err != nil {
		t.Fatal(err)
	}
	if s := newSampler(t, SamplerOptions{Rows: 2, SeqLen: 16, Aligned: true}, sets...); s.Alignment().Shared != 2 {
		t.Errorf("lines 1 and 4 are in both: %+v", s.Alignment())
	}
	for want, src := range map[string]Source{
		`c.jsonl:2: l has this key before, in c.jsonl:1`: {Paths: []string{write(t, "c.jsonl", `{"id":1,"text":"a"}`+"\n"+`{"id":"1","text":"b"}`+"\n")}, Key: "id"},
		`column "id"`:             {Paths: []string{write(t, "d.jsonl", `{"text":"a"}`)}, Key: "id"},
		`neither a string nor`:    {Paths: []string{write(t, "e.jsonl", `{"id":[1],"text":"a"}`)}, Key: "id"},
		`align = "line" for`:      {Paths: []string{write(t, "f.txt", "a\n")}, Key: "id"},
		`align = "line" is for "`: {Paths: []string{write(t, "g.csv", "text\na\n")}, Key: KeyLine},
	} {
		src.Lang, src.Train, src.Aligned = "l", true, true
		if _, err := Load(src, tok, Options{}); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("want %q: %v", want, err)
		}
	}
	twice := Source{Lang: "l", Train: true, Holdout: 0.5, Key: "id",
		Paths: []string{write(t, "h.jsonl", `{"id":1,"text":"a"}`+"\n"+`{"id":1,"text":"b"}`+"\n"+`{"id":2,"text":"c"}`+"\n"+
			`{"id":2,"text":"d"}`)}}
	s, err := Load(twice, tok, Options{})
	if err != nil || s.Keys != nil || s.Train.Len() != 2 || s.Heldout.Len() != 2 {
		t.Errorf("without aligning a key may be there twice and holds out together: %v", err)
	}
}

// Drawn rows keep the shares on average with the spread of independent draws, and are a
// function of the step alone; each example is still read once an epoch.
func TestIID(t *testing.T) {
	sets := []*Set{makeSet("a", slices.Repeat([]int{8}, 30)...), makeSet("b", slices.Repeat([]int{8}, 90)...)}
	o := SamplerOptions{Rows: 8, SeqLen: 8, Seed: 3, Mixing: IID}
	s := newSampler(t, o, sets...)
	const steps = 2000
	sum, squares := 0.0, 0.0
	var read []int
	for step := range steps {
		n := s.StepRows(step)
		if n[0]+n[1] != 8 {
			t.Fatalf("step %d has %v rows", step, n)
		}
		sum, squares = sum+float64(n[0]), squares+float64(n[0]*n[0])
		if step < 60 {
			read = append(read, found(s.Batch(step), 0)...)
		}
	}
	mean := sum / steps
	if variance := squares/steps - mean*mean; math.Abs(mean-2) > 0.14 || math.Abs(variance-1.5) > 0.25 { // binomial, 8 rows at 1/4
		t.Errorf("mean %v rows of 2, variance %v of 1.5", mean, variance)
	}
	slices.Sort(read[:30])
	for i, x := range read[:30] {
		if i != x {
			t.Fatalf("the first epoch reads %v", read[:30])
		}
	}
	if got := newSampler(t, o, sets...).Batch(1234); !reflect.DeepEqual(got, s.Batch(1234)) {
		t.Error("step 1234 from scratch differs")
	}
	if got := s.Epochs(40)[0]; math.Abs(got-80.0/30) > 1e-9 {
		t.Errorf("%v epochs expected in 40 steps", got)
	}
	if _, err := NewSampler(sets, SamplerOptions{Rows: 1, SeqLen: 8, Mixing: "random"}); err == nil {
		t.Error("an unknown mixing is taken")
	}
}

// Divide reads one language of a column at a time and keeps the keys.
func TestDivideAColumn(t *testing.T) {
	var rows strings.Builder
	for i := range 20 {
		fmt.Fprintf(&rows, `{"id":%d,"l":"%s","text":"t %d"}`+"\n", i/2, []string{"b", "a"}[i%2], i)
	}
	src := Source{LangColumn: "l", Train: true, Holdout: 0.4, Key: "id", Paths: []string{write(t, "m.jsonl", rows.String())}}
	langs, err := src.Languages()
	if err != nil || !slices.Equal(langs, []string{"a", "b"}) {
		t.Fatalf("%v %v", langs, err)
	}
	var of [2]string
	for i, lang := range langs {
		src.Langs = []string{lang}
		var w [3]strings.Builder
		h, err := Divide(src, &w[0], &w[1], &w[2])
		if err != nil || h.Train != 6 || h.Valid != 2 || h.Test != 2 {
			t.Fatalf("%s: %+v %v", lang, h, err)
		}
		for line := range strings.Lines(w[2].String()) {
			_, key, _ := strings.Cut(line, `"key":`)
			of[i] += key
		}
	}
	if of[0] != of[1] || of[0] == "" {
		t.Errorf("the languages' test halves have the keys %q", of)
	}
}

// Tokens of files that need no keys are not those of the same files where each example
// needs one: a missing key would be seen in the first only.
func TestTokensOfOptionalKeys(t *testing.T) {
	enc, err := newEncoder(withBOS(t), "", Options{})
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "a.jsonl")
	if err := os.WriteFile(path, []byte("{\"text\": \"a\"}\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, column := range []string{"", "id"} {
		src := Source{Lang: "a", Paths: []string{path}, Train: true, Key: column}
		trained, err1 := src.files(src.Paths, false).key(enc)
		held, err2 := src.files(src.Paths, true).key(enc)
		if err := errors.Join(err1, err2); err != nil || (trained == held) != (column == "") {
			t.Errorf("with the key %q the tokens are kept as %s and %s: %v", column, trained, held, err)
		}
	}
}
