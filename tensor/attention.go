package tensor

import (
	"fmt"
	"math"
	"strconv"

	"concord/gpu"
)

// Docs are the packed documents of a batch: token i's document is rows
// [Start[i], End[i]), both (1, N) uint32. Documents are contiguous and ascending.
type Docs struct {
	Start, End Tensor
	// Longest is the number of tokens of the longest document, or a bound of it;
	// 0 = not known. Attention looks no further back.
	Longest int
}

// AttentionShape is the geometry of one attention call. Query i stands at row
// QueryOffset+i of the keys; query head h reads key head h/(Heads/KVHeads).
type AttentionShape struct {
	Heads, KVHeads, HeadDim int     // HeadDim a multiple of 4, at most 256
	Scale                   float32 // of the scores, usually HeadDim^-½
	SoftCap                 float32 // c of c·tanh(score/c), 0 = none (arXiv:2408.00118)
	QueryOffset             int     // 0, or the rows already in a key-value cache
	// Variant is "direct" (one invocation per 4 rows, no workgroup memory),
	// "flash" (32x32 tiles in workgroup memory), or "" for direct on CPU
	// adapters and flash on GPUs.
	Variant string

	maxSpan int // tests: at most so many keys per dispatch, a multiple of 32; 0 = by loopBudget
	wg      int // tests: workgroup size of the direct kernels; 0 = directWG
}

const (
	attentionFlash  = "flash"
	attentionDirect = "direct"
	// maxHeadDim is the head size that the flash kernels' accumulators hold (MAX_NC).
	maxHeadDim = 256
	// directWG is the direct kernels' default of WG.
	directWG = 32
	// loopBudget bounds the loop iterations of one invocation: software
	// rasterizers of Mesa stop all loops of an invocation after 65,535.
	loopBudget = 60000
)

// Validate names the settings of s that the kernels cannot do; its numbers come from a
// model's configuration.
func (s AttentionShape) Validate() error {
	switch {
	case s.HeadDim < 4 || s.HeadDim > maxHeadDim || s.HeadDim%4 != 0:
		return fmt.Errorf("tensor: attention: head dimension %d, must be a multiple of 4 up to %d", s.HeadDim, maxHeadDim)
	case s.KVHeads < 1 || s.Heads < s.KVHeads || s.Heads%s.KVHeads != 0:
		return fmt.Errorf("tensor: attention: %d heads do not divide among %d key heads", s.Heads, s.KVHeads)
	case s.Heads/s.KVHeads*(33+ceilDiv(s.HeadDim, 32)*104) > loopBudget:
		return fmt.Errorf("tensor: attention: %d heads of %d share %d key heads, which is more than one loop can do", s.Heads, s.HeadDim,
			s.KVHeads)
	case s.Variant != "" && s.Variant != attentionDirect && s.Variant != attentionFlash:
		return fmt.Errorf("tensor: attention: unknown variant %q; known are direct, flash", s.Variant)
	}
	return nil
}

// MaxDocument is the longest document, in tokens, that attention of shape s
// handles. The kernels' loops are cut into as many dispatches as the loop
// budget asks for, so the bound that remains is that a tensor of that many rows must be
// addressable in 32-bit vec4 units and, by the device's largest buffer, in the
// bytes of one binding, which allocation checks.
func MaxDocument(s AttentionShape) int {
	return int(min((1<<32-1)/int64(max(1, s.Heads*int(vec4s(s.HeadDim)))), math.MaxInt32))
}

// span is how many keys (or queries, for the gradient of keys) one dispatch of
// a variant covers, so that no invocation exceeds loopBudget: a multiple of
// 32, or fewer in the direct form. Validate refuses heads for which one tile does.
// groups is the number of heads an invocation loops over. The counts are the
// kernels' "Loop iterations" lines, all loops counted as if none were unrolled.
func (s AttentionShape) span(variant string, groups int) int {
	perTile, tile := 1+s.HeadDim/2, 4
	if variant == attentionFlash {
		perTile, tile = 32+ceilDiv(s.HeadDim, 32)*104, 32
	}
	tiles := max((loopBudget/groups-maxHeadDim)/perTile, 1)
	n := tiles * tile
	if n >= 32 {
		n &^= 31
	}
	if s.maxSpan > 0 {
		n = min(n, s.maxSpan)
	}
	return n
}

func (e *Engine) attentionVariant(s AttentionShape) string {
	if s.Variant != "" {
		return s.Variant
	}
	if e.cpu {
		return attentionDirect
	}
	return attentionFlash
}

// attentionForwardParams is struct Params of attention_forward_*.wgsl.
type attentionForwardParams struct {
	NQ, First, End, Group, Offset, QLD, KLD, VLD, OutLD, LseLD, FirstKey, Keys uint32
	Scale                                                                      float32
}

// Attention is causal grouped-query attention within documents, in float32 with
// an online softmax: the scores are never materialised (Dao 2023,
// FlashAttention-2).
//
//	out[i,h] = Σ_j softmax_j(Scale · q[i,h]·k[j,h']) v[j,h'],  Start[i] ≤ j ≤ QueryOffset+i
//	lse[h,i] = log Σ_j exp(Scale · q[i,h]·k[j,h'])
//
// q and out are (Nq, Heads*D), k and v (Nk, KVHeads*D) with Nk ≥
// QueryOffset+Nq, lse (Heads, Nq). Start (1, Nq) indexes rows of k; docs.End is
// not used. With Nk > Nq and QueryOffset = Nk-Nq this is decoding with a
// key-value cache. out and lse must not share a buffer with the inputs.
//
// The weights of keys outside a query's document are 0, but 0 times a NaN is NaN:
// within a tile of 32 rows a value that is not finite can reach another document,
// here and in the backward. Nothing crosses a row at which a document begins and
// that is a multiple of 32, as is each row of a batch of sequences of such a length.
func (e *Engine) Attention(out, lse, q, k, v Tensor, docs Docs, s AttentionShape) {
	if err := s.Validate(); err != nil {
		panic(err.Error())
	}
	n, hd, kd := q.R, s.Heads*s.HeadDim, s.KVHeads*s.HeadDim
	if q.C != hd || k.C != kd || v.C != kd || k.R != v.R || k.R < s.QueryOffset+n || out.R != n || out.C != hd ||
		lse.R != s.Heads || lse.C != n || docs.Start.R*docs.Start.C != n || s.QueryOffset < 0 {
		panic(fmt.Sprintf("tensor: attention: out %v, lse %v, q %v, k %v, v %v, start %v, shape %+v", out, lse, q, k, v, docs.Start, s))
	}
	if n == 0 {
		return
	}
	variant := e.attentionVariant(s)
	reach, span := docs.reach(variant, s.QueryOffset+n), s.span(variant, 1)
	for from := 0; from < reach; from += span {
		c := call{
			kernel: "attention_forward_" + variant,
			consts: map[string]string{"HEAD_DIM": strconv.Itoa(s.HeadDim), "SOFTCAP": wgslFloat(s.SoftCap)},
			binds:  []gpu.View{docs.Start.View(), q.View(), k.View(), v.View(), out.View(), lse.View()},
			work:   2 * attentionWork(n, min(span, reach-from), s),
		}
		e.runTiles(c, s, n, s.Heads, func(first, end uint32) any {
			return attentionForwardParams{
				NQ: uint32(n), First: first, End: end, Group: uint32(s.Heads / s.KVHeads), Offset: uint32(s.QueryOffset),
				QLD: vec4s(q.LD), KLD: vec4s(k.LD), VLD: vec4s(v.LD), OutLD: vec4s(out.LD), LseLD: uint32(lse.LD),
				FirstKey: uint32(from), Keys: uint32(span), Scale: s.Scale,
			}
		})
	}
}

// attentionTile is how many rows of one head a tile of a variant has.
func attentionTile(variant string) int {
	if variant == attentionFlash {
		return 32
	}
	return 4
}

// reach is how many keys (or queries, for the gradient of keys) the loops of a
// tile cover at most, of total: a document that begins (or ends) anywhere in it.
func (d Docs) reach(variant string, total int) int {
	if d.Longest > 0 {
		return min(total, d.Longest+attentionTile(variant)-1)
	}
	return total
}

// attentionWork is the cost of one of the products of n rows with keys keys or
// queries each, an upper bound.
func attentionWork(n, keys int, s AttentionShape) int64 {
	return 2 * int64(n) * int64(keys) * int64(s.Heads*s.HeadDim)
}

// runTiles runs c over the tiles of rows rows of heads heads, in as many
// dispatches as the bound of one's work asks for. A tile is computed alone, so
// the cuts do not change its bits. params fills in the tiles of a dispatch.
func (e *Engine) runTiles(c call, s AttentionShape, rows, heads int, params func(first, end uint32) any) {
	variant := e.attentionVariant(s)
	tiles, perGroup := ceilDiv(rows, attentionTile(variant))*heads, 1
	if variant == attentionDirect {
		if perGroup = directWG; s.wg > 0 {
			perGroup = s.wg
			c.consts["WG"] = strconv.Itoa(s.wg)
		}
	}
	perTile := max(1, c.work/int64(tiles))
	step := int(min(max(e.maxWork()/perTile, 1), int64(tiles)))
	for first := 0; first < tiles; first += step {
		end := min(first+step, tiles)
		c.params, c.groups, c.work = params(uint32(first), uint32(end)), grid(ceilDiv(end-first, perGroup)), perTile*int64(end-first)
		e.run(c)
	}
}

// attentionDeltaParams is struct Params of attention_delta.wgsl.
type attentionDeltaParams struct {
	Rows, Heads, D4, DoutLD, OutLD, DeltaLD uint32
}

// attentionQueryParams is struct Params of attention_backward_query_*.wgsl.
type attentionQueryParams struct {
	Rows, First, End, Group, QLD, KLD, VLD, DoutLD, DQLD, LseLD, DeltaLD, FirstKey, Keys uint32
	Scale                                                                                float32
}

// attentionKeyParams is struct Params of attention_backward_key_*.wgsl.
type attentionKeyParams struct {
	Rows, First, End, Group, QLD, KLD, VLD, DoutLD, GradLD, LseLD, DeltaLD, FirstQuery, Queries uint32
	Scale                                                                                       float32
}

// AttentionBackward overwrites dq, dk, dv, shaped as q, k, v, with the
// gradients of Attention given dout, its output out and its lse. delta (Heads,
// N) is scratch: it receives rowsum(dout·out). QueryOffset must be 0 and k as
// long as q. Each gradient row is owned by one invocation or workgroup, so
// repeated calls give the same bits. Outputs and delta must not share a buffer
// with the inputs or each other.
func (e *Engine) AttentionBackward(dq, dk, dv, dout, out, q, k, v, lse, delta Tensor, docs Docs, s AttentionShape) {
	if err := s.Validate(); err != nil {
		panic(err.Error())
	}
	n := q.R
	qShape := q.C == s.Heads*s.HeadDim && dq.C == q.C && dout.C == q.C && out.C == q.C && dq.R == n && dout.R == n && out.R == n
	kShape := k.C == s.KVHeads*s.HeadDim && v.C == k.C && dk.C == k.C && dv.C == k.C && k.R == n && v.R == n && dk.R == n && dv.R == n
	rest := lse.R == s.Heads && lse.C == n && delta.R == s.Heads && delta.C == n && docs.Start.R*docs.Start.C == n &&
		docs.End.R*docs.End.C == n
	if !qShape || !kShape || !rest || s.QueryOffset != 0 {
		panic(fmt.Sprintf("tensor: attention backward: dq %v, dk %v, dv %v, dout %v, out %v, q %v, k %v, v %v, "+
			"lse %v, delta %v, docs %v %v, shape %+v",
			dq, dk, dv, dout, out, q, k, v, lse, delta, docs.Start, docs.End, s))
	}
	if n == 0 {
		return
	}
	const wg = 64 // attention_delta's default
	e.run(call{
		kernel: "attention_delta",
		params: attentionDeltaParams{uint32(n), uint32(s.Heads), vec4s(s.HeadDim), vec4s(dout.LD), vec4s(out.LD), uint32(delta.LD)},
		binds:  []gpu.View{dout.View(), out.View(), delta.View()},
		groups: grid(ceilDiv(n*s.Heads, wg)),
		work:   e.moving(8*int64(n)*int64(q.C), 0),
	})
	e.attentionBackwardQuery(dq, dout, q, k, v, lse, delta, docs, s)
	e.attentionBackwardKey(dk, 0, dout, q, k, v, lse, delta, docs, s)
	e.attentionBackwardKey(dv, 1, dout, q, k, v, lse, delta, docs, s)
}

func (e *Engine) attentionBackwardQuery(dq, dout, q, k, v, lse, delta Tensor, docs Docs, s AttentionShape) {
	variant := e.attentionVariant(s)
	n, span := q.R, s.span(variant, 1)
	reach := docs.reach(variant, n)
	for from := 0; from < reach; from += span {
		c := call{
			kernel: "attention_backward_query_" + variant,
			consts: map[string]string{"HEAD_DIM": strconv.Itoa(s.HeadDim), "SOFTCAP": wgslFloat(s.SoftCap)},
			binds:  []gpu.View{docs.Start.View(), q.View(), k.View(), v.View(), dout.View(), lse.View(), delta.View(), dq.View()},
			work:   3 * attentionWork(n, min(span, reach-from), s),
		}
		e.runTiles(c, s, n, s.Heads, func(first, end uint32) any {
			return attentionQueryParams{
				Rows: uint32(n), First: first, End: end, Group: uint32(s.Heads / s.KVHeads),
				QLD: vec4s(q.LD), KLD: vec4s(k.LD), VLD: vec4s(v.LD), DoutLD: vec4s(dout.LD), DQLD: vec4s(dq.LD),
				LseLD: uint32(lse.LD), DeltaLD: uint32(delta.LD), FirstKey: uint32(from), Keys: uint32(span), Scale: s.Scale,
			}
		})
	}
}

// attentionBackwardKey writes dk (values 0) or dv (values 1) into grad.
func (e *Engine) attentionBackwardKey(grad Tensor, values int, dout, q, k, v, lse, delta Tensor, docs Docs, s AttentionShape) {
	variant := e.attentionVariant(s)
	n, group := q.R, s.Heads/s.KVHeads
	reach, span := docs.reach(variant, n), s.span(variant, group)
	for from := 0; from < reach; from += span {
		c := call{
			kernel: "attention_backward_key_" + variant,
			consts: map[string]string{"HEAD_DIM": strconv.Itoa(s.HeadDim), "SOFTCAP": wgslFloat(s.SoftCap), "VALUES": strconv.Itoa(values)},
			binds:  []gpu.View{docs.End.View(), q.View(), k.View(), v.View(), dout.View(), lse.View(), delta.View(), grad.View()},
			work:   int64(3-values) * attentionWork(n, min(span, reach-from), s),
		}
		e.runTiles(c, s, n, s.KVHeads, func(first, end uint32) any {
			return attentionKeyParams{
				Rows: uint32(n), First: first, End: end, Group: uint32(group),
				QLD: vec4s(q.LD), KLD: vec4s(k.LD), VLD: vec4s(v.LD), DoutLD: vec4s(dout.LD), GradLD: vec4s(grad.LD),
				LseLD: uint32(lse.LD), DeltaLD: uint32(delta.LD), FirstQuery: uint32(from), Queries: uint32(span), Scale: s.Scale,
			}
		})
	}
}
