package step

import (
	"slices"

	"concord/bucket"
	"concord/gpu"
	"concord/internal/device"
	"concord/internal/model"
	"concord/internal/objective"
	"concord/internal/param"
	"concord/tensor"
)

// late picks the parameters outside the layers whose rows are written at the end of
// the backward pass, into the memory that is free then; nil means none. It costs the logits once
// more, but for one chunk, so that rows which are small beside the rest stay where they are.
func (r *Replica) late() func(bucket.Param) bool {
	o, set := r.Objective, r.Settings
	if o.Static() || r.needs.AllRows || set.Objective.Gram == objective.GramRows || set.Accumulate > 1 || o.Elementwise() {
		return nil
	}
	large := model.TokenMatrices(r.Arch)
	return func(p bucket.Param) bool {
		if o.StaticRule(o.RuleOf(p.Name)) {
			return false // it keeps no rows at all
		}
		return slices.Contains(large, p.Name) && r.latePays(p)
	}
}

// lateHead says that the head's gradient is taken late.
func (r *Replica) lateHead() bool {
	late := r.late()
	return late != nil && slices.ContainsFunc(device.Params(r.Arch), func(p bucket.Param) bool {
		return (p.Kind == param.Head || p.Shared()) && !r.Settings.Frozen(p.Spec) && late(p)
	})
}

// lateShare is the part of a step's other memory that rows may take. Rows of a fourteenth, as the demo
// has of eight languages, added 4 % to the peak and 2 % to the processor time, late ones nothing and
// 10 % (medians of three, with kernels of autotune, when late ones made all logits again: docs/bench/2026-11-30-price.md);
// the goal is 5 % of each.
const lateShare = 13

// byTokens picks the ones among late that keep no rows, as the step's activations have no room
// for them: the Gram comes from inner products between tokens, or see inTurn, and the gradient is
// made in pieces. That costs the logits once more, for as many tokens as their memory takes.
func (r *Replica) byTokens() func(bucket.Param) bool {
	set, n := r.Settings, r.Settings.Rows*r.Settings.SeqLen
	late := r.late()
	if late == nil || set.Objective.AdamMetric || r.Arch.Vocab < max(64, 4*n) || 64*n > r.Engine.BindingElements() {
		return nil
	}
	lent := r.Model.Reusable()
	return func(p bucket.Param) bool {
		rows := tensor.F32.Bytes(int64(r.Objective.Segments()) * int64(p.Size()))
		return late(p) && (set.Objective.Gram == objective.GramGhost || rows > room(lent, rows))
	}
}

// room is the memory of activations that takes so many bytes of late rows: of those that are lent
// only the ones that hold a part.
func room(lent map[string][]gpu.View, rows int64) (sum int64) {
	for _, views := range lent {
		for _, v := range views {
			if v.Size >= bucket.LeastPart(rows) {
				sum += v.Size
			}
		}
	}
	return sum
}

// inTurn picks the ones among byTokens that have too many tokens for products between all of them:
// rows of some of the vocabulary at a time cost less, or the products of two tokens, which are bound
// as one, more than one binding.
func (r *Replica) inTurn(p bucket.Param) bool {
	n := r.Settings.Rows * r.Settings.SeqLen
	if n > tensor.GhostTokens || n*tensor.F32.LD(n) > r.Engine.BindingElements() {
		return true
	}
	tokens, rows := tensor.VocabularyCost(n, p.R, p.C, r.Objective.Segments())
	return rows.FLOPs+r.flopsPerByte()*rows.Bytes < tokens.FLOPs+r.flopsPerByte()*tokens.Bytes
}

// latePays says that p's rows are large beside the parameters' states and the
// activations.
func (r *Replica) latePays(p bucket.Param) bool {
	states := int64(0)
	for _, s := range model.ParamSpecs(r.Arch) {
		n := tensor.F32.Bytes(int64(s.Size()))
		if states += n; !r.Settings.Frozen(s) {
			states += 3 * n // gradient and moments
		}
	}
	activations := r.Arch.ActivationBytes(r.Settings.Checkpointing) * int64(r.Settings.Rows*r.Settings.SeqLen)
	return lateShare*tensor.F32.Bytes(int64(r.Objective.Segments())*int64(p.Size())) > states+activations
}
