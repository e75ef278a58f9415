package data

import (
	"cmp"
	"slices"
)

// named are examples with a name that follows from their text alone, not from the tokenizer
// or the order of the files. Examples of equal text, and the pieces of a document, share it.
type named interface{ name(i int) fingerprint }

// Sample is n examples of all, drawn without replacement by the seed, in the order of all;
// all of them if there are no more, or if n is 0. It is a pure function of the examples' texts
// and the seed: a larger sample holds a smaller one, an example that is added or left out
// changes no other's place, and another order of the files changes nothing. Examples
// without a name go by their place.
//
// Every example gets a random rank, and the n lowest are taken (Cochran, Sampling
// Techniques, 3rd ed., 1977, section 2.1; as "permanent random numbers": Ohlsson 1995).
func Sample(all Examples, n int, seed uint64) Examples {
	if n <= 0 || size(all) <= n {
		return all
	}
	type place struct {
		name  fingerprint
		rank  uint64
		index int
	}
	list := make([]place, all.Len())
	by, has := all.(named)
	for i := range list {
		list[i] = place{name: fingerprint(i), index: i}
		if has {
			list[i].name = by.name(i)
		}
	}
	slices.SortFunc(list, func(a, b place) int { return cmp.Or(cmp.Compare(a.name, b.name), cmp.Compare(a.index, b.index)) })
	twin := uint64(0) // how many examples of the name there are before
	for i := range list {
		if twin++; i == 0 || list[i].name != list[i-1].name {
			twin = 0
		}
		list[i].rank = rankOf(seed, list[i].name, twin)
	}
	slices.SortFunc(list, func(a, b place) int { return cmp.Or(cmp.Compare(a.rank, b.rank), cmp.Compare(a.index, b.index)) })
	p := picked{all: all}
	for _, x := range list[:n] {
		p.index = append(p.index, x.index)
	}
	slices.Sort(p.index)
	return p
}

// rankOf is the random rank of an example.
func rankOf(seed uint64, name fingerprint, twin uint64) uint64 {
	r := random{seed}
	r.state = r.next() ^ uint64(name)
	r.state = r.next() ^ twin
	return r.next()
}
