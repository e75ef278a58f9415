package data

import (
	"reflect"
	"slices"
	"testing"
)

// Joined batches come apart again, whole; and a range of rows of the joined batch
// has about as many of each.
func TestJoinAndPick(t *testing.T) {
	sets := []*Set{makeSet("a", lengths(1, 50, 20)...), makeSet("b", lengths(2, 90, 20)...), makeSet("c", lengths(3, 70, 20)...)}
	s := newSampler(t, SamplerOptions{Rows: 9, SeqLen: 32, Seed: 7}, sets...)
	var batches []*Batch
	for step := range 4 {
		batches = append(batches, s.Batch(step))
	}
	all, of := Join(batches)
	if all.Rows != 36 || len(of) != 36 || !slices.IsSorted(all.Lang) {
		t.Fatalf("%d rows, of %v, languages %v", all.Rows, of, all.Lang)
	}
	for k, want := range batches {
		got := all.Pick(rowsOf(of, 0, 36, k), want.Rows)
		got.Bytes, got.Docs = want.Bytes, want.Docs // are not counted
		if !reflect.DeepEqual(got, want) {
			t.Errorf("batch %d did not come out as it went in:\n%+v\n%+v", k, got, want)
		}
	}
	for m := range sets { // the first half of a language's rows
		from := slices.Index(all.Lang, m)
		n := 0
		for from+n < 36 && all.Lang[from+n] == m {
			n++
		}
		var counts []int
		for k := range batches {
			counts = append(counts, len(rowsOf(of, from, from+n/2, k)))
		}
		if slices.Max(counts)-slices.Min(counts) > 1 {
			t.Errorf("language %d: the first %d rows have %v of the batches", m, n/2, counts)
		}
	}
	p := all.Pick([]int{0, 35}, 4)
	if p.Lang[0] != 0 || p.Lang[1] != 2 || p.Starts[1] != 32 || p.Starts[2] != 32 || p.Starts[3] != 128 ||
		!slices.Equal(p.IDs[32:64], all.IDs[35*32:]) {
		t.Errorf("two rows and padding: languages %v, starts %v", p.Lang, p.Starts)
	}
}

// rowsOf lists the rows of a range that are of a batch.
func rowsOf(of []int, from, to, batch int) (out []int) {
	for r := from; r < to; r++ {
		if of[r] == batch {
			out = append(out, r)
		}
	}
	return out
}
