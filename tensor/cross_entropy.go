package tensor

import (
	"fmt"
	"strconv"

	"concord/gpu"
)

// IgnoredLabel marks a token without loss.
const IgnoredLabel uint32 = 0xffffffff

type crossEntropyParams struct{ N, Vocab, LD4, Row0, WriteGrad uint32 }

// CrossEntropy works in place on logits, (R, vocab), whose row r belongs to token
// row0+r of labels (1, N) uint32, scale (1, N) and loss (1, N):
//
//	loss[row0+r] = log Σexp(z) - z[label]
//	logits[r]   ← (softmax(z) - onehot(label))·scale[row0+r]   if writeGrad
//
// A softCap c > 0 stands for z = c·tanh(logits/c), with its derivative in the gradient.
// Without writeGrad the logits stay and scale is not read: it may be the zero
// Tensor. A token labelled IgnoredLabel has loss 0 and gradient 0; a label outside
// the vocabulary or a logit that is not finite makes the token's loss NaN. labels,
// scale, logits and loss lie in different buffers (labels and scale may share
// one).
func (e *Engine) CrossEntropy(logits, loss, labels, scale Tensor, row0 int, vocab int, softCap float32, writeGrad bool) {
	e.crossEntropy(logits, loss, labels, scale, Tensor{}, row0, vocab, softCap, writeGrad)
}

// crossEntropy is CrossEntropy that leaves each row's largest logit and the sum of the
// exponentials below it in stats, (N, 2) of stride 2, unless that is nothing.
func (e *Engine) crossEntropy(logits, loss, labels, scale, stats Tensor, row0 int, vocab int, softCap float32, writeGrad bool) {
	if !writeGrad {
		scale = labels // bound, not read
	}
	n := loss.R * loss.C
	if logits.C != vocab || labels.R*labels.C != n || scale.R*scale.C != n || row0 < 0 || row0+logits.R > n {
		panic(fmt.Sprintf("tensor: cross entropy: logits %v from row %d, vocabulary %d, loss %v, labels %v, scale %v", logits, row0,
			vocab, loss, labels, scale))
	}
	if logits.R == 0 || vocab == 0 {
		return
	}
	wg, lanes := crossEntropyLanes(vocab)
	consts := map[string]string{"WG": strconv.Itoa(wg), "LANES": strconv.Itoa(lanes), "SOFTCAP": wgslFloat(softCap)}
	kept := e.tune.placeholder()
	if stats.Buf != nil {
		consts["KEEP"], kept = "1", stats.View()
	}
	e.run(call{
		kernel: "cross_entropy",
		consts: consts,
		params: crossEntropyParams{N: uint32(logits.R), Vocab: uint32(vocab), LD4: vec4s(logits.LD), Row0: uint32(row0),
			WriteGrad: asU32(writeGrad)},
		binds:  []gpu.View{labels.View(), scale.View(), logits.View(), loss.View(), kept},
		groups: grid(ceilDiv(logits.R, wg/lanes)),
		work:   e.moving(int64(logits.R)*int64(logits.LD)*16, int64(logits.R)*int64(logits.LD)*40),
	})
}

// crossEntropyLanes is the workgroup size and the invocations per row. Few lanes
// save reduction steps, which are dear on software rasterizers; many bound the
// loop of a long row (65,000 iterations on Mesa) and fill a GPU when rows are few.
func crossEntropyLanes(vocab int) (wg, lanes int) {
	switch {
	case vocab <= 4096:
		return 64, 8
	case vocab <= 16384:
		return 64, 64
	}
	return 256, 256
}
