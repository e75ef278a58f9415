package data

import (
	"slices"
	"sync"
)

// stream is one language's endless sequence of rows.
type stream struct {
	lang     string
	seed     uint64
	examples Examples
	keys     []uint64 // of the examples, where they are aligned
	packing  *packing
	block    int // rows that stay together in every epoch, in step with all languages; 0: none do

	mu    sync.Mutex // guards the rest: the permutation last used
	epoch int        // −1 = none
	slots []uint32   // slot → example
	bins  []uint32   // row of the epoch → row of the packing
}

// row reads the n-th row of the stream.
func (t *stream) row(n int) ([]Example, error) {
	var out []Example
	for _, i := range t.rowOf(n) {
		x, err := t.examples.At(i)
		if err != nil {
			return nil, err
		}
		out = append(out, x)
	}
	return out, nil
}

// rowOf lists the examples of the n-th row.
func (t *stream) rowOf(n int) (examples []int) {
	t.mu.Lock()
	defer t.mu.Unlock()
	rows := t.packing.rows()
	if epoch := n / rows; epoch != t.epoch {
		t.permute(epoch)
	}
	for _, slot := range t.packing.row(int(t.bins[n%rows])) {
		examples = append(examples, int(t.slots[slot]))
	}
	return examples
}

// permute makes an epoch's order: examples of equal length trade places, and
// rows are shuffled.
func (t *stream) permute(epoch int) {
	defer lean()()
	t.epoch = epoch
	t.bins = slices.Grow(t.bins[:0], t.packing.rows())
	if t.block > 0 {
		t.permuteBlocks()
		return
	}
	r := newRandom(t.seed, t.lang, epoch)
	t.slots = append(slices.Grow(t.slots[:0], len(t.packing.order)), t.packing.order...)
	for _, c := range t.packing.classes {
		r.shuffle(t.slots[c[0]:c[1]])
	}
	for i := range t.packing.rows() {
		t.bins = append(t.bins, uint32(i))
	}
	r.shuffle(t.bins)
}

// permuteBlocks makes an epoch's order of blocks, the same for every language.
func (t *stream) permuteBlocks() {
	order := make([]uint32, t.packing.rows()/t.block)
	for i := range order {
		order[i] = uint32(i)
	}
	newRandom(t.seed, "aligned", t.epoch).shuffle(order)
	t.slots = t.packing.order
	for _, b := range order {
		for i := range t.block {
			t.bins = append(t.bins, b*uint32(t.block)+uint32(i))
		}
	}
}
