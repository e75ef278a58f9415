package data

import "hash/fnv"

// random is SplitMix64 (Steele, Lea, Flood 2014): a counter and a mix. It is
// our own so that a run's order never changes with the Go version.
type random struct{ state uint64 }

// newRandom is keyed by the run's seed, the language and the epoch, so that
// adding a language does not reorder the others.
func newRandom(seed uint64, lang string, epoch int) *random {
	h := fnv.New64a()
	h.Write([]byte(lang))
	r := &random{seed}
	r.state = r.next() ^ h.Sum64()
	r.state = r.next() ^ uint64(epoch)
	return r
}

func (r *random) next() uint64 {
	r.state += 0x9E3779B97F4A7C15
	z := r.state
	z = (z ^ z>>30) * 0xBF58476D1CE4E5B9
	z = (z ^ z>>27) * 0x94D049BB133111EB
	return z ^ z>>31
}

// shuffle permutes x (Fisher–Yates). The modulo's bias is below n/2^64.
func (r *random) shuffle(x []uint32) {
	for i := len(x) - 1; i > 0; i-- {
		j := int(r.next() % uint64(i+1))
		x[i], x[j] = x[j], x[i]
	}
}
