package data

import (
	"cmp"
	"fmt"
	"iter"
	"math"
	"slices"
)

// heldGroups chooses the groups of documents to hold out, given the group of every
// document: at least as many documents as asked for, in the order of the groups'
// fingerprints, so that the choice is the same for every order of the documents and
// changes little when some are added. A group larger than the holdout asked for is taken
// only where the others do not suffice.
func heldGroups(groups []fingerprint, holdout float64) (map[fingerprint]bool, error) {
	if holdout == 0 || len(groups) == 0 {
		return nil, nil
	}
	want := int(holdout)
	if holdout < 1 {
		want = max(1, int(math.Round(holdout*float64(len(groups)))))
	}
	type group struct {
		id   fingerprint
		docs int
	}
	var large []group // more documents than asked for
	held, n, different := map[fingerprint]bool{}, 0, 0
	for g := range runs(groups) {
		switch different++; {
		case len(g) > want:
			large = append(large, group{g[0], len(g)})
		case n < want:
			held[g[0]] = true
			n += len(g)
		}
	}
	slices.SortStableFunc(large, func(a, b group) int { return cmp.Compare(a.docs, b.docs) })
	for _, g := range large {
		if n < want {
			held[g.id] = true
			n += g.docs
		}
	}
	if n >= want && len(held) < different {
		return held, nil
	}
	return nil, fmt.Errorf("holds out all %d documents (%d different prompts or texts), and nothing is left to train on",
		len(groups), different)
}

// runs are the equal fingerprints of all, in their order.
func runs(all []fingerprint) iter.Seq[[]fingerprint] {
	return func(yield func([]fingerprint) bool) {
		sorted := slices.Clone(all)
		slices.Sort(sorted)
		for len(sorted) > 0 {
			n := 1
			for n < len(sorted) && sorted[n] == sorted[0] {
				n++
			}
			if !yield(sorted[:n]) {
				return
			}
			sorted = sorted[n:]
		}
	}
}

// holdoutError names the fault of a source's holdout, and the way out.
func holdoutError(s *Source, lang string, docs int, err error) error {
	fix := "lower it, or give more documents"
	if docs == 1 {
		fix = `it is one document; if each line is one: format = "lines"; else give heldout = a file, or remove holdout`
	}
	return fmt.Errorf("data: source %q: holdout = %v %w\n  fix: %s", lang, s.Holdout, err, fix)
}
