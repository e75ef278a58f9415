package model

import (
	"hash/fnv"

	"concord/tensor"
)

// dropout leaves out some of the inputs of adapters, PEFT's lora_dropout, in the passes of
// training: a forward that a backward follows, that backward, and layers that are computed
// again in it. Which values these are is a function of the run's seed, the module, the
// token's number in the run and the column (see tensor.Dropout): no mask is stored, and it
// does not matter which machine computes the token.
type dropout struct {
	tokens tensor.Tensor // of the batch under way; without a buffer nothing is left out
	x      tensor.Tensor // (N, widest input)
}

// dropoutKey is the key of the masks of the module whose A files call name. Maps that
// share A, as in PEFT the parts of one module, share the mask.
func dropoutKey(seed uint64, name string) [2]uint32 {
	h := fnv.New64a()
	h.Write([]byte(name))
	key := mix64(mix64(seed) ^ h.Sum64())
	return [2]uint32{uint32(key), uint32(key >> 32)}
}

// dropping begins a pass of training on b, which ends with the call of end. Batches whose
// tokens have no numbers are computed whole.
func (s *adapterSpace) dropping(b *Batch) (end func()) {
	if s == nil || s.dropout.x.Buf == nil || !b.numbered {
		return func() {}
	}
	s.dropout.tokens = b.numbers
	return func() { s.dropout.tokens = tensor.Tensor{} }
}

// drops says that inputs are left out.
func (s *adapterSpace) drops() bool { return s.dropout.tokens.Buf != nil }

// input is x as the adapter sees it: without the values that are left out, in memory
// that the next adapter overwrites.
func (l *lowRank) input(e *tensor.Engine, x tensor.Tensor) tensor.Tensor {
	if !l.space.drops() {
		return x
	}
	d := l.inputSpace(x.R)
	l.drop(e, d, x, false)
	return d
}

func (l *lowRank) inputSpace(n int) tensor.Tensor {
	return tensor.Tensor{Buf: l.space.dropout.x.Buf, R: n, C: l.inputs(), LD: tensor.F32.LD(l.inputs())}
}

func (l *lowRank) drop(e *tensor.Engine, out, x tensor.Tensor, accumulate bool) {
	e.Dropout(out, x, l.space.dropout.tokens, l.space.config.Dropout, l.key, accumulate)
}

// addInput adds to dx the gradient of x by that of the adapter's input, which write writes,
// or adds to dx where the two are the same.
func (l *lowRank) addInput(e *tensor.Engine, dx tensor.Tensor, write func(to tensor.Tensor, accumulate bool)) {
	if !l.space.drops() {
		write(dx, true)
		return
	}
	d := l.inputSpace(dx.R)
	write(d, false)
	l.drop(e, dx, d, true)
}
