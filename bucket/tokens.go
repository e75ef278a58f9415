package bucket

import (
	"concord/gpu"
	"concord/tensor"
)

// Where the rows of a late parameter fit in no free activations, its Gram comes from inner
// products between the step's tokens, or where these are many from the rows of one part of the
// vocabulary after the other, and its combined gradient is made some rows
// at a time: no matrix of a gradient exists. See docs/adr/0032.

// tokens is the gradients of a step that are kept as sums over tokens.
type tokens struct {
	used    bool
	scratch tensor.VocabularyScratch
	of      map[string]tensor.Vocabulary // by parameter, of the current step
	seg     tensor.Segments              // of the current step
	weighed map[string]bool              // their vectors are multiplied by the solution's weights
}

// isTokens says that p is late and keeps no rows.
func (r *Resolver) isTokens(p Param, micro int) bool {
	return r.opt.ByTokens != nil && r.isLate(p, micro) && r.opt.ByTokens(p)
}

// inTurn says that the Gram of p, which isTokens, comes from rows of some of the vocabulary at
// a time.
func (r *Resolver) inTurn(p Param) bool { return r.opt.InTurn != nil && r.opt.InTurn(p) }

func (t *tokens) allocate(r *Resolver) {
	for _, name := range r.store.Layout.order {
		if !t.used && r.isTokens(r.store.place(name).Param, 1) {
			t.used, t.scratch = true, r.store.Engine.NewVocabularyScratch(r.opt.Tokens, r.rows())
		}
	}
}

func (t *tokens) begin() { t.of, t.weighed = map[string]tensor.Vocabulary{}, map[string]bool{} }

func (t *tokens) release() {
	if t.used {
		t.scratch.Release()
	}
}

// squares is the scratch with the products between tokens in p's share of the step's
// memory: at the end of the backward pass all activations are free.
func (r *Resolver) squares(p Place) tensor.VocabularyScratch {
	var places [tensor.VocabularySquares]gpu.View
	for i, x := range r.memory.plan.spots[p.Name].parts {
		places[i] = r.memory.viewOf(r, x.spot)
	}
	return r.tokens.scratch.In(places)
}

// addTokens adds the Gram of a parameter that keeps no rows.
func (r *Resolver) addTokens(g *tensor.GramSum, p Place) {
	v, t := r.tokens.of[p.Name], &r.tokens
	if r.inTurn(p.Param) {
		g.AddVocabularyRows(v, p.R, t.seg, r.memory.parts(r, p)[0].TaskGrads, t.scratch, *r.gram)
		return
	}
	g.AddVocabulary(v, t.seg, r.squares(p))
}

// Bytes of the rows that a parameter inTurn has at a time: as many as free memory takes, up to
// mostInTurn; memory of their own has leastInTurn, or mostParts parts.
const (
	leastInTurn = 8 << 20
	mostInTurn  = 32 << 20
)

// turn finds memory for some of n's rows, which others of them then take in turn: the largest
// free range of reused memory, unless it is small.
func (p *planner) turn(n need) part {
	step := n.partBytes(tensor.PartRows)
	fit := func(size int64) int { return min(n.rows, int(max(min(size, mostInTurn)/step, 1))*tensor.PartRows) }
	least := min(fit(leastInTurn), max(n.rows/mostParts/tensor.PartRows, 1)*tensor.PartRows)
	if r, i, size := p.largest(); size >= n.partBytes(least) {
		rows := fit(size)
		return part{spot: p.take(r, i, n.partBytes(rows)), rows: rows}
	}
	return part{spot: p.allocate(n.partBytes(least)), rows: least}
}

// ByTokens says that the gradient of the parameter called name, which is late, is to be
// given to TakeTokens in the place of TakeLate.
func (r *Resolver) ByTokens(name string) bool {
	return r.Late(name) && r.isTokens(r.store.place(name).Param, r.micro)
}

// TakeTokens records the gradient of a parameter as v, by the segments of seg. The memory
// that v refers to must stay as it is until Finish returns, and is then overwritten.
func (r *Resolver) TakeTokens(name string, seg tensor.Segments, v tensor.Vocabulary) {
	p := r.store.place(name)
	r.applied.enter(r, segmentOf(p.Param))
	r.memory.written(r, p)
	r.tokens.of[name], r.tokens.seg = v, seg
	r.memory.writes[name] = p.uses() - 1
	r.groups[r.groupOf(p)].left -= p.uses() - 1
	r.done(p)
}

// weigh multiplies p's vectors by the weights of their tokens, once.
func (r *Resolver) weigh(p Place, s Solution) tensor.Vocabulary {
	v := r.tokens.of[p.Name]
	if !r.tokens.weighed[p.Name] {
		r.tokens.weighed[p.Name] = true
		weights := s.Weights
		if r.opt.Halves {
			weights = twice(weights)
		}
		r.store.Engine.Weigh(v, tokenWeights(weights, r.tokens.seg.Starts, 1), r.tokens.scratch)
	}
	return v
}

// combineTokens makes p's gradient in place.
func (r *Resolver) combineTokens(p Place, s Solution) {
	r.store.Engine.VocabularyRows(r.inPlace(p).Objective(0), r.weigh(p, s), 0, r.tokens.scratch)
}

// tokenPieces makes p's gradient piece by piece. A piece may be applied at once, as the next
// ones read other rows of the weight.
func (r *Resolver) tokenPieces(p Place, s Solution, f func(at int, g tensor.Tensor)) {
	v, rows, e := r.weigh(p, s), pieceSize(p)/p.LD(), r.store.Engine
	for lo := 0; lo < p.R; lo += rows {
		n := min(rows, p.R-lo)
		size := n * p.LD()
		if lo+n == p.R {
			size = p.Extent() - lo*p.LD() // with the padding
		}
		g := tensor.Tensor{Buf: r.applied.scratch.Buf, R: 1, C: size, LD: size}
		if p.C != p.LD() || size > n*p.LD() {
			e.Dev.Zero(g.View())
		}
		e.VocabularyRows(tensor.Tensor{Buf: g.Buf, R: n, C: p.C, LD: p.LD()}, v, lo, r.tokens.scratch)
		f(lo*p.LD(), g)
	}
}
