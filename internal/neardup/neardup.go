// Package neardup finds texts that are nearly the same: hashes choose candidates, and each
// is then compared by its whole set of shingles. The same texts in the same order
// give the same pairs.
//
// A text is its set of shingles: five characters in a row, white space and case aside,
// so that languages without spaces work as others do.
//
// In memory are about 90 bytes a text, and while candidates are compared the shingles of
// some of them.
package neardup

import (
	"cmp"
	"slices"
	"unicode"
)

const (
	shingle = 5  // characters
	bands   = 20 // of a signature
	perBand = 6  // values: candidates are 99.8 % of the pairs with a similarity of 0.8
	bins    = bands * perBand
	fewest  = 20        // shingles: shorter texts are alike by chance
	atOnce  = 1 << 24   // shingles in memory while pairs are compared
	most    = 4_000_000 // candidates
)

// Pair is two texts with their Jaccard similarity: the shingles that both have, of
// those that either has. A comes first.
type Pair struct {
	A, B    int
	Jaccard float64
}

// Index holds the signatures of texts, numbered from 0 in the order of Add. Not safe for
// concurrent use.
type Index struct {
	room  int
	sigs  [][bands]uint32
	sizes []uint32 // shingles; 0: too short
	Left  int      // texts for which there was no room
	More  bool     // there were more candidates than are compared
}

// New makes an index for at most room texts.
func New(room int) *Index { return &Index{room: room} }

// Add adds the next text and returns its number, −1 where there is no room.
func (x *Index) Add(text string) int {
	if len(x.sizes) >= x.room {
		x.Left++
		return -1
	}
	set := shingles(text)
	var sig [bands]uint32
	size := uint32(0)
	if len(set) >= fewest {
		sig, size = signature(set), uint32(len(set))
	}
	x.sigs, x.sizes = append(x.sigs, sig), append(x.sizes, size)
	return len(x.sizes) - 1
}

// Pairs are the texts that are at least as similar as threshold to an earlier one, each
// with one such. read reads the texts again: those that want is true for, in the order
// of their numbers. It is called once for some ten thousand candidates.
func (x *Index) Pairs(threshold float64, read func(want func(int) bool, text func(i int, text string)) error) ([]Pair, error) {
	all := x.candidates()
	var out []Pair
	found := map[int32]bool{}
	for len(all) > 0 {
		n := x.batch(all)
		want := make(map[int]bool, 2*n)
		for _, p := range all[:n] {
			want[int(p[0])], want[int(p[1])] = true, true
		}
		sets := make(map[int][]uint64, len(want))
		if err := read(func(i int) bool { return want[i] }, func(i int, text string) { sets[i] = shingles(text) }); err != nil {
			return nil, err
		}
		for _, p := range all[:n] {
			if found[p[1]] {
				continue
			}
			if j := jaccard(sets[int(p[0])], sets[int(p[1])]); j >= threshold {
				out = append(out, Pair{int(p[0]), int(p[1]), j})
				found[p[1]] = true
			}
		}
		all = all[n:]
	}
	slices.SortFunc(out, func(a, b Pair) int { return cmp.Or(cmp.Compare(a.B, b.B), cmp.Compare(a.A, b.A)) })
	return out, nil
}

// batch is how many of the pairs are compared at once.
func (x *Index) batch(pairs [][2]int32) (n int) {
	shingles := 0
	for n < len(pairs) && (n == 0 || shingles < atOnce) {
		shingles += int(x.sizes[pairs[n][0]]) + int(x.sizes[pairs[n][1]])
		n++
	}
	return n
}

// candidates are pairs that agree in a band: each text with the first one that does, and
// with the one before it.
func (x *Index) candidates() (out [][2]int32) {
	type entry struct {
		hash uint32
		text int32
	}
	var band []entry
	for b := range bands {
		band = band[:0]
		for i, sig := range x.sigs {
			if x.sizes[i] > 0 {
				band = append(band, entry{sig[b], int32(i)})
			}
		}
		slices.SortFunc(band, func(a, b entry) int { return cmp.Or(cmp.Compare(a.hash, b.hash), cmp.Compare(a.text, b.text)) })
		first := 0
		for i := 1; i < len(band); i++ {
			if band[i].hash != band[first].hash {
				first = i
				continue
			}
			out = append(out, [2]int32{band[first].text, band[i].text})
			if i-1 > first {
				out = append(out, [2]int32{band[i-1].text, band[i].text})
			}
		}
		slices.SortFunc(out, func(a, b [2]int32) int { return cmp.Or(cmp.Compare(a[0], b[0]), cmp.Compare(a[1], b[1])) })
		if out = slices.Compact(out); len(out) > most {
			out, x.More = out[:most], true
		}
	}
	return out
}

// shingles is the sorted set of a text's shingles, as hashes.
func shingles(text string) []uint64 {
	var letters []rune
	for _, r := range text {
		if !unicode.IsSpace(r) {
			letters = append(letters, unicode.ToLower(r))
		}
	}
	var out []uint64
	for i := 0; i+shingle <= len(letters); i++ {
		h := uint64(shingle)
		for _, r := range letters[i : i+shingle] {
			h = mix(h ^ uint64(r))
		}
		out = append(out, h)
	}
	slices.Sort(out)
	return slices.Compact(out)
}

// mix is a bijection in which every bit depends on every other (splitmix64: Steele, Lea
// and Flood, OOPSLA 2014).
func mix(z uint64) uint64 {
	z += 0x9e3779b97f4a7c15
	z = (z ^ z>>30) * 0xbf58476d1ce4e5b9
	z = (z ^ z>>27) * 0x94d049bb133111eb
	return z ^ z>>31
}

// signature is the least hash in each bin, folded band by band: MinHash by one permutation
// (Li, Owen, Zhang, NeurIPS 2012), empty bins filled as by Shrivastava (ICML 2017).
func signature(set []uint64) (out [bands]uint32) {
	var least [bins]uint64
	var filled [bins]bool
	for _, h := range set {
		v := mix(h)
		if b := h % bins; !filled[b] || v < least[b] {
			least[b], filled[b] = v, true
		}
	}
	for b := range out {
		fold := uint64(b)
		for k := b * perBand; k < (b+1)*perBand; k++ {
			from := uint64(k)
			for try := uint64(1); !filled[from]; try++ { // the set is not empty
				from = mix(uint64(k)<<32|try) % bins
			}
			fold = mix(fold ^ least[from])
		}
		out[b] = uint32(fold)
	}
	return out
}

// jaccard is |a ∩ b| / |a ∪ b| of sorted sets.
func jaccard(a, b []uint64) float64 {
	both, i, j := 0, 0, 0
	for i < len(a) && j < len(b) {
		switch {
		case a[i] < b[j]:
			i++
		case a[i] > b[j]:
			j++
		default:
			both, i, j = both+1, i+1, j+1
		}
	}
	if either := len(a) + len(b) - both; either > 0 {
		return float64(both) / float64(either)
	}
	return 0
}
