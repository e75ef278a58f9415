package tensor

import (
	"fmt"

	"concord/gpu"
)

// Vocabulary is the gradient of an embedding, of a head, or of a matrix that is both,
// (V, C), as the sums over the N tokens of a batch that it is, in the place of matrices:
//
//	dW_m = Σ δ_s x_sᵀ + e_s d_sᵀ over the tokens s of objective m
//
// δ_s is the gradient of the token's logits, x_s the head's input, e_s the unit vector of the
// token's id, d_s the gradient of the embedding's output. Both terms are optional. The
// logits are made again from the weight, for some of the vocabulary at a time. (Sparse rows of
// embeddings and inner products between tokens: Goodfellow, arXiv:1510.01799, for pairs of
// tokens and for both uses of a matrix.)
type Vocabulary struct {
	Head *HeadTokens
	Ids  *TableTokens
}

// HeadTokens is the head's term. Loss has run over the batch since its weight changed.
type HeadTokens struct {
	Loss          *LinearCrossEntropy
	X, Weight     Tensor // (N, C), (V, C)
	Labels, Scale Tensor // (1, N)
}

// TableTokens is the embedding's term.
type TableTokens struct {
	IDs   Tensor      // (1, N)
	D     Tensor      // (N, C)
	Index *TokenIndex // of all tokens in one segment
	Parts *TokenIndex // of the tokens by segment, for AddVocabularyRows
}

// VocabularyScratch is the memory of a Vocabulary's Gram and of its combination. The products
// between tokens lie in memory that is given for one Gram, see In.
type VocabularyScratch struct {
	hh, he, eh, ee, b Tensor // (N, N) products between tokens
	weights           Tensor // (1, N)
	ghost             GhostScratch
}

// NewVocabularyScratch allocates for n tokens in m segments, all but the products between
// tokens.
func (e *Engine) NewVocabularyScratch(n, m int) VocabularyScratch {
	return VocabularyScratch{weights: e.New(gpu.RoleScratch, "token weights", 1, n),
		ghost: GhostScratch{n: n, m: m, part: e.New(gpu.RoleScratch, "ghost sums", 1, n*m)}}
}

// VocabularySquares is how many matrices of products between tokens a Gram takes.
const VocabularySquares = 5

// VocabularySquare is the bytes of one, of n tokens.
func VocabularySquare(n int) int64 { return f32Bytes(n * F32.LD(n)) }

// In is s with the products between tokens in places of VocabularySquare bytes each, that
// nothing else uses while AddVocabulary is recorded.
func (s VocabularyScratch) In(places [VocabularySquares]gpu.View) VocabularyScratch {
	for i, t := range []*Tensor{&s.hh, &s.he, &s.eh, &s.ee, &s.b} {
		*t = Tensor{Buf: places[i].Buf, Offset: places[i].Offset}
	}
	return s
}

// Release frees the scratch.
func (s VocabularyScratch) Release() {
	s.weights.Buf.Release()
	s.ghost.part.Buf.Release()
}

// VocabularySums is the memory that the Gram of a Vocabulary over m segments takes of a
// GramSums.
func (e *Engine) VocabularySums(m int) int64 { return 4 * e.GhostSums(m) }

// AddVocabulary adds the Gram of v's matrices, exactly: four sums over pairs of tokens,
//
//	⟨dW_i, dW_j⟩ = Σ (δ_s·δ_t)(x_s·x_t) + [id_s = id_t](d_s·d_t) + δ_s[id_t](x_s·d_t) + δ_t[id_s](d_s·x_t)
//
// with errors as AddGhost's. s has been given places by In.
func (g *GramSum) AddVocabulary(v Vocabulary, seg Segments, s VocabularyScratch) {
	e := g.e
	n := seg.Starts[g.m]
	square := func(t Tensor) Tensor { t.R, t.C, t.LD = n, n, F32.LD(n); return t }
	s.hh, s.he, s.eh, s.ee, s.b = square(s.hh), square(s.he), square(s.eh), square(s.ee), square(s.b)
	pair := func(a, x, y Tensor) {
		e.MatMul(s.b, x, y, NT, false)
		g.addProducts(a, s.b, seg, s.ghost)
	}
	if v.Head != nil {
		e.Upload(s.weights.head(n), ones(n))
		first := true
		v.Head.eachLogits(0, v.Head.Weight.R, s.weights, func(lo int, z Tensor) {
			e.MatMul(s.hh, z, z, NT, !first)
			if first = false; v.Ids != nil {
				e.gather(v.Ids.IDs, z, lo, s)
			}
		})
		pair(s.hh, v.Head.X, v.Head.X)
	}
	if v.Ids == nil {
		return
	}
	if v.Head == nil {
		e.gather(v.Ids.IDs, Tensor{}, 0, s)
	} else {
		pair(s.he, v.Head.X, v.Ids.D)
		pair(s.eh, v.Ids.D, v.Head.X)
	}
	pair(s.ee, v.Ids.D, v.Ids.D)
}

type tokenGatherParams struct{ N, Cols, LD, OutLD, Lo uint32 }

// gather fills the columns of s.he and rows of s.eh of the ids in z, whose first column
// is lo, and s.ee.
func (e *Engine) gather(ids, z Tensor, lo int, s VocabularyScratch) {
	n := s.ee.R
	e.run(call{kernel: "token_gather", params: tokenGatherParams{uint32(n), uint32(z.C), uint32(z.LD), uint32(s.ee.LD), uint32(lo)},
		binds:  []gpu.View{ids.View(), e.operand(z), s.he.View(), s.eh.View(), s.ee.View()},
		groups: grid(ceilDiv(n*n, 64)), work: e.moving(int64(n)*int64(n)*16, 0)})
}

type logitsGradientParams struct{ N, Cols, LD4, Lo uint32 }

// eachLogits calls f with δ, (N, cols), for the columns lo .. hi-1 of the vocabulary, as many
// at a time as the memory of the logits takes. Tokens of weight 0 have none.
func (h *HeadTokens) eachLogits(lo, hi int, weights Tensor, f func(lo int, z Tensor)) {
	e, n := h.Loss.e, h.X.R
	room := h.Loss.logits.R * h.Loss.logits.LD / max(n, 1)
	step := min(max(room/blockUnit, 1)*blockUnit, e.BindingElements()/max(n, 1)/blockUnit*blockUnit)
	if step < blockUnit || n*blockUnit > h.Loss.logits.R*h.Loss.logits.LD {
		panic(fmt.Sprintf("tensor: vocabulary: %d tokens' logits in memory for %v", n, h.Loss.logits))
	}
	h.Loss.kept = 0
	for ; lo < hi; lo += step {
		cols := min(step, hi-lo)
		z := Tensor{Buf: h.Loss.logits.Buf, R: n, C: cols, LD: F32.LD(cols)}
		e.MatMul(z, h.X, block(h.Weight, lo, lo+cols, 0, h.Weight.C), NT, false)
		n4 := n * int(vec4s(z.LD))
		e.run(call{kernel: "logits_gradient", consts: map[string]string{"SOFTCAP": wgslFloat(h.Loss.SoftCap)},
			params: logitsGradientParams{uint32(n), uint32(cols), vec4s(z.LD), uint32(lo)},
			binds:  []gpu.View{h.Labels.View(), h.Scale.View(), weights.View(), h.Loss.stats.View(), z.View()},
			groups: grid(ceilDiv(n4, 64)), work: e.moving(int64(n4)*32, int64(n4)*80)})
		f(lo, z)
	}
}

// Weigh multiplies v's gradient by a weight for each token: of its vectors, in place.
// VocabularyRows then makes the weighted sum. A token of weight 0 adds exact zeros.
func (e *Engine) Weigh(v Vocabulary, weights []float32, s VocabularyScratch) {
	w := s.weights.head(len(weights))
	e.Upload(w, weights)
	if v.Ids != nil {
		e.ScaleRowsInPlace(v.Ids.D, w)
	}
	if v.Head == nil {
		return
	}
	mask, zeros := ones(len(weights)), false // the logits' gradients get the weights; a NaN times their 0 is one
	for i, x := range weights {
		if x == 0 {
			mask[i], zeros = 0, true
		}
	}
	if zeros {
		e.Upload(w, mask)
		e.ScaleRowsInPlace(v.Head.X, w)
		e.Upload(w, weights)
	}
}

// VocabularyRows writes rows lo .. lo+out.R-1 of Σ_m dW_m, weighed by Weigh, to out. lo is a
// multiple of 64.
func (e *Engine) VocabularyRows(out Tensor, v Vocabulary, lo int, s VocabularyScratch) {
	if v.Head != nil {
		v.Head.eachLogits(lo, lo+out.R, s.weights, func(at int, z Tensor) {
			e.MatMul(block(out, at-lo, at-lo+z.C, 0, out.C), z, v.Head.X, TN, false)
		})
	}
	if v.Ids != nil {
		to := TaskGrads{Buf: out.Buf, Offset: out.Offset, M: 1, R: out.R, C: out.C, LD: out.LD}
		e.EmbeddingBackwardPart(to, lo, v.Ids.D, v.Ids.Index, v.Head != nil)
	}
}

// head is the first n values of a vector.
func (t Tensor) head(n int) Tensor {
	t.C, t.LD = n, F32.LD(n)
	return t
}

func ones(n int) []float32 {
	out := make([]float32, n)
	for i := range out {
		out[i] = 1
	}
	return out
}
