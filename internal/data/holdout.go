package data

import (
	"cmp"
	"fmt"
	"math"
	"slices"
)

// heldGroups chooses the groups of documents to hold out, given the group of every
// document: at least as many documents as asked for, in the order of the groups'
// fingerprints, so that the choice is the same for every order of the documents and
// changes little when some are added. A group larger than what is asked for is taken
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
	sorted := slices.Clone(groups)
	slices.Sort(sorted)
	var all []group
	for _, id := range sorted {
		if n := len(all); n > 0 && all[n-1].id == id {
			all[n-1].docs++
			continue
		}
		all = append(all, group{id, 1})
	}
	slices.SortStableFunc(all, func(a, b group) int {
		switch {
		case a.docs <= want && b.docs <= want:
			return 0
		default:
			return cmp.Compare(max(a.docs, want), max(b.docs, want))
		}
	})
	held, n := map[fingerprint]bool{}, 0
	for _, g := range all {
		if n >= want {
			return held, nil
		}
		held[g.id] = true
		n += g.docs
	}
	if n >= want && len(held) < len(all) {
		return held, nil
	}
	return nil, fmt.Errorf("holds out all %d documents (%d different prompts or texts), and nothing is left to train on", len(groups), len(all))
}

// holdoutError says what a source's holdout cannot do, and the way out.
func holdoutError(s *Source, lang string, docs int, err error) error {
	fix := "lower it, or give more documents"
	if docs == 1 {
		fix = `it is one document; if each line is one: format = "lines"; else give heldout = a file, or remove holdout`
	}
	return fmt.Errorf("data: source %q: holdout = %v %w\n  fix: %s", lang, s.Holdout, err, fix)
}
