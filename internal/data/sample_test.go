package data

import (
	"fmt"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// heldoutOf is a source's held-out examples, from documents in this order.
func heldoutOf(t *testing.T, lines []string) Examples {
	t.Helper()
	path := filepath.Join(t.TempDir(), "x.jsonl")
	if err := os.WriteFile(path, []byte(strings.Join(lines, "\n")), 0o644); err != nil {
		t.Fatal(err)
	}
	set, err := Load(Source{Lang: "x", Heldout: []string{path}}, byteTokenizer(t), Options{MaxLen: 64})
	if err != nil {
		t.Fatal(err)
	}
	return set.Heldout
}

// texts are the examples as text, sorted.
func texts(t *testing.T, e Examples) []string {
	t.Helper()
	var out []string
	for i := range e.Len() {
		x, err := e.At(i)
		if err != nil {
			t.Fatal(err)
		}
		if len(x.IDs) != e.Positions(i)+1 {
			t.Errorf("example %d has %d tokens and %d positions", i, len(x.IDs), e.Positions(i))
		}
		out = append(out, fmt.Sprint(x.IDs))
	}
	slices.Sort(out)
	return out
}

// A sample follows from the texts and the seed: not from the order of the documents, not from
// the others that there are. A larger one holds a smaller one. Documents of equal
// text are drawn one by one.
func TestSample(t *testing.T) {
	var lines []string
	for i := range 60 {
		lines = append(lines, fmt.Sprintf(`{"text": "document %d"}`, i), `{"text": "the same"}`)
	}
	all := heldoutOf(t, lines)
	ten := texts(t, Sample(all, 10, 1))
	if len(ten) != 10 || slices.Equal(ten, texts(t, First(all, 10))) {
		t.Errorf("ten of %d: %d, or the first ones", all.Len(), len(ten))
	}
	backwards := slices.Clone(lines)
	slices.Reverse(backwards)
	if got := texts(t, Sample(heldoutOf(t, backwards), 10, 1)); !slices.Equal(got, ten) {
		t.Error("another order of the documents is another sample")
	}
	if slices.Equal(texts(t, Sample(all, 10, 2)), ten) {
		t.Error("another seed is the same sample")
	}
	thirty := texts(t, Sample(all, 30, 1))
	for _, x := range ten {
		if !slices.Contains(thirty, x) {
			t.Error("thirty do not hold the ten")
		}
	}
	twins := 0
	for _, x := range texts(t, Sample(all, 60, 1)) {
		if x == texts(t, heldoutOf(t, []string{`{"text": "the same"}`}))[0] {
			twins++
		}
	}
	if twins < 15 || twins > 45 { // of 60 documents of that text half are expected, σ = 3.9
		t.Errorf("%d of 60 equal documents are in a half", twins)
	}
	without := heldoutOf(t, slices.DeleteFunc(slices.Clone(lines), func(l string) bool { return strings.Contains(l, "document 7\"") }))
	gone := 0
	now := texts(t, Sample(without, 10, 1))
	for _, x := range ten {
		if !slices.Contains(now, x) {
			gone++
		}
	}
	if gone > 1 {
		t.Errorf("one document less changes %d of the ten", gone)
	}
	if Sample(all, 0, 1) != all || Sample(all, all.Len(), 1) != all || Sample(nil, 3, 1) != nil {
		t.Error("all of them are not all of them")
	}
}

// Over the seeds every example is drawn equally often, with the variance of such draws.
func TestSampleIsFair(t *testing.T) {
	all := make(List, 50)
	for i := range all {
		all[i] = Example{IDs: []uint32{uint32(i), 0}, Mask: []bool{false, true}}
	}
	const draws, n = 2000, 20
	count := make([]float64, len(all))
	for seed := range uint64(draws) {
		s := Sample(all, n, seed)
		for i := range s.Len() {
			x, _ := s.At(i)
			count[x.IDs[0]]++
		}
	}
	p := float64(n) / float64(len(all))
	chi2 := 0.0
	for _, c := range count {
		chi2 += (c - draws*p) * (c - draws*p) / (draws * p * (1 - p))
	}
	if mean := float64(len(all)); math.Abs(chi2-mean) > 4*math.Sqrt(2*mean) {
		t.Errorf("χ² = %.1f of %d examples", chi2, len(all))
	}
}
