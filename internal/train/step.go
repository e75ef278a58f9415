package train

import (
	"math"
	"time"

	"concord/bucket"
	"concord/gpu"
	"concord/internal/data"
	"concord/internal/model"
	"concord/internal/optim"
	"concord/internal/report"
)

// Step trains on the next batch: the path of one batch, top to bottom.
func (t *Trainer) Step() (report.Step, error) {
	start := time.Now()
	batch := t.corpus.sampler.Batch(t.step) // rows of ids, labels and a language, sorted by language
	scales := t.objective.scales(batch.Supervised)
	t.objective.step = int64(t.step)
	t.resolver.Begin(t.cfg.Batch.Accumulate)
	losses := make([]*gpu.Readback, 0, t.cfg.Batch.Accumulate)
	for micro := range t.cfg.Batch.Accumulate {
		if err := t.batch.Upload(t.tokens2device(batch, micro, scales)); err != nil {
			return report.Step{}, DataError(err)
		}
		t.model.Forward(t.batch)
		t.model.Backward(t.batch, t.resolver) // buckets are resolved as they become ready
		losses = append(losses, t.engine.Dev.Read(t.model.Loss.View()))
	}
	resolved, err := t.resolver.Finish()
	if err != nil {
		return report.Step{}, classify(err)
	}
	byLang, err := t.lossByLang(batch, losses)
	if err != nil {
		return report.Step{}, classify(err)
	}
	if err := t.diverged(batch, resolved); err != nil {
		return report.Step{}, err
	}
	lr := t.schedule.At(int64(t.step))
	clip, err := t.adam.Step(resolved, lr)
	if err != nil {
		return report.Step{}, divergence(err)
	}
	if err := t.engine.Dev.Sync(); err != nil { // so that Seconds is the step's own time
		return report.Step{}, classify(err)
	}
	t.step++
	t.tokens += int64(len(batch.IDs))
	r := t.record(batch, resolved, byLang)
	r.ClipScale, r.LR, r.Seconds = report.Float(clip), report.Float(lr), time.Since(start).Seconds()
	return r, nil
}

// diverged refuses a step in which no language has a finite gradient of some
// bucket: methods mask such languages, and with all of them masked nothing but
// weight decay would go on.
func (t *Trainer) diverged(b *data.Batch, r bucket.Report) error {
	taught := 0
	for _, n := range b.Supervised {
		if n > 0 {
			taught++
		}
	}
	for _, bk := range r.Buckets {
		if len(bk.NonFinite) > 0 && len(bk.NonFinite) >= taught {
			return divergence(&optim.NonFiniteError{Step: t.adam.Steps() + 1, Norm: math.NaN(), Bucket: bk.Name})
		}
	}
	return nil
}

// tokens2device is micro-batch micro of the batch: its rows, with each token's
// scale and, where rows of gradients are kept, its segments by language.
func (t *Trainer) tokens2device(b *data.Batch, micro int, scales []float32) model.Tokens {
	rows, s := t.cfg.Batch.Rows, t.cfg.Batch.SeqLen
	lo, n := micro*rows*s, rows*s
	hi := lo + n
	k := model.Tokens{IDs: b.IDs[lo:hi], Labels: b.Labels[lo:hi], Pos: b.Pos[lo:hi],
		DocStart: shift(b.DocStart[lo:hi], lo), DocEnd: shift(b.DocEnd[lo:hi], lo),
		Scale: make([]float32, n)}
	for i := range n {
		k.Scale[i] = scales[b.Lang[(lo+i)/s]]
	}
	if t.objective.objectives() == 1 {
		k.Starts = []int{0, n}
		return k
	}
	for _, start := range b.Starts {
		k.Starts = append(k.Starts, min(max(start-lo, 0), n))
	}
	return k
}

// shift makes document borders relative to a micro-batch's first token.
func shift(x []uint32, by int) []uint32 {
	out := make([]uint32, len(x))
	for i, v := range x {
		out[i] = v - uint32(by)
	}
	return out
}

// lossByLang is each language's mean loss over its supervised tokens, NaN
// where it has none.
func (t *Trainer) lossByLang(b *data.Batch, losses []*gpu.Readback) ([]float64, error) {
	sum := make([]float64, len(t.langs))
	n := t.cfg.Batch.Rows * t.cfg.Batch.SeqLen
	for micro, l := range losses {
		v, err := readFloats(l)
		if err != nil {
			return nil, err
		}
		for i := range n {
			at := micro*n + i
			if b.Labels[at] != data.Ignore {
				sum[b.Lang[at/t.cfg.Batch.SeqLen]] += float64(v[i])
			}
		}
	}
	for m := range sum {
		if b.Supervised[m] == 0 {
			sum[m] = math.NaN()
			continue
		}
		sum[m] /= float64(b.Supervised[m])
	}
	return sum, nil
}

// record tells what the step did.
func (t *Trainer) record(b *data.Batch, resolved bucket.Report, loss []float64) report.Step {
	r := report.Step{Step: t.step, Steps: t.corpus.steps, LossByLang: map[string]report.Float{}, TokensByLang: map[string]int{},
		GradNorm: report.Float(resolved.Norm), NegativePairs: resolved.Negative, Pairs: resolved.Pairs,
		Tokens: len(b.IDs), TotalTokens: t.tokens}
	masked := map[int]bool{}
	for _, bk := range resolved.Buckets {
		for _, m := range bk.NonFinite {
			masked[m] = true
		}
		r.Buckets = append(r.Buckets, bucketRecord(bk))
	}
	mean, n := 0.0, 0
	for m, lang := range t.langs {
		if b.Supervised[m] == 0 {
			continue
		}
		r.LossByLang[lang], r.TokensByLang[lang] = report.Float(loss[m]), b.Supervised[m]
		if math.IsNaN(loss[m]) || math.IsInf(loss[m], 0) {
			masked[m] = true
			continue
		}
		mean, n = mean+loss[m], n+1
	}
	r.Loss = report.Float(mean / float64(n)) // NaN when no language's loss is finite
	for m, lang := range t.langs {
		if masked[m] {
			r.Masked = append(r.Masked, lang)
		}
	}
	return r
}

func bucketRecord(b bucket.BucketReport) report.Bucket {
	r := report.Bucket{Name: b.Name, NegativePairs: b.Negative, Pairs: b.Pairs, Weights: b.Weights, Norm: report.Float(math.Sqrt(b.Norm2)), MinCosine: report.Float(math.NaN())}
	if b.Pairs > 0 {
		r.MinCosine = report.Float(b.MinCosine)
	}
	if b.G != nil {
		for i := range b.G.SymmetricDim() {
			r.Norms = append(r.Norms, report.Float(math.Sqrt(b.G.At(i, i))))
		}
	}
	return r
}
