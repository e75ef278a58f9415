package train

import (
	"context"
	"errors"
	"fmt"
	"math"
	"time"

	"concord/bucket"
	"concord/gpu"
	"concord/internal/cluster"
	"concord/internal/data"
	"concord/internal/model"
	"concord/internal/optim"
	"concord/internal/report"
)

// Step trains on the next batch: the path of one batch, top to bottom.
func (t *Trainer) Step() (report.Step, error) { return t.advance(context.Background()) }

// advance is Step. ctx ends the wait for other machines, and nothing else. On
// many machines a step may be planned anew when one of them is lost, and this
// machine may have to fetch later weights: then the error is errCaughtUp.
func (t *Trainer) advance(ctx context.Context) (report.Step, error) {
	for {
		r, err := t.attempt(ctx)
		if err == nil || t.team == nil {
			return r, err
		}
		t.team.lossesIssued(false)
		t.resolver.Interrupted()
		switch {
		case errors.Is(err, cluster.ErrRedo):
			continue
		case errors.Is(err, cluster.ErrState):
			if err := t.catchUp(ctx); err != nil {
				return r, err
			}
			return r, errCaughtUp
		}
		return r, err
	}
}

func (t *Trainer) attempt(ctx context.Context) (report.Step, error) {
	if t.outer != nil {
		return t.round(ctx)
	}
	start := time.Now()
	batch := t.corpus.sampler.Batch(t.step) // rows of ids, labels and a language, sorted by language
	if err := t.begin(batch); err != nil {
		return report.Step{}, err
	}
	if err := t.takePart(ctx, batch); err != nil { // this machine's rows of it: all, on one machine
		return report.Step{}, err
	}
	if err := t.compute(); err != nil {
		return report.Step{}, err
	}
	resolved, err := t.resolver.Finish()
	if err != nil {
		return report.Step{}, classify(err)
	}
	lr := t.schedule.At(int64(t.step))
	byLang, clip, err := t.update(batch, resolved, lr)
	if err != nil {
		return report.Step{}, err
	}
	if err := t.engine.Dev.Sync(); err != nil { // so that Seconds is the step's own time
		return report.Step{}, classify(err)
	}
	t.clip, t.resolved = clip, resolved
	t.objective.RecordLosses(byLang)
	t.step++
	t.count(batch)
	r := t.record(batch, resolved, byLang)
	if t.team != nil {
		r.Exchange = t.team.record()
	}
	r.ClipScale, r.LR, r.Seconds = report.Float(clip), report.Float(lr), time.Since(start).Seconds()
	return r, nil
}

// compute is the part's losses and gradients.
func (t *Trainer) compute() error {
	for micro := range t.part.micro {
		if err := t.batch.Upload(t.tokens2device(t.part, micro, t.scales)); err != nil {
			return DataError(err)
		}
		t.model.Forward(t.batch)
		t.model.Backward(t.batch, t.resolver, func() { // units are resolved as they become ready
			t.losses = append(t.losses, t.engine.Dev.Read(t.model.Loss().View()))
			if micro == t.part.micro-1 {
				t.team.lossesIssued(true)
			}
		})
	}
	return nil
}

// begin prepares everything that a step's resolution depends on.
func (t *Trainer) begin(b *data.Batch) (err error) {
	if b.Err != nil {
		return DataError(b.Err)
	}
	t.objective.Begin(int64(t.step), b.Supervised, t.halfTokens(b), t.byLang)
	t.losses, t.lossByLang = nil, nil
	t.scales, err = t.objective.Scales(b.Supervised)
	return err
}

// part is the rows of a step's batch that this machine computes.
type part struct {
	*data.Batch
	starts      []int // tokens of its segments: one per gradient row
	rows, micro int   // micro-batches of so many rows
}

// takePart decides which rows of b this machine computes, and opens the step's
// resolution.
func (t *Trainer) takePart(ctx context.Context, b *data.Batch) error {
	if t.team != nil {
		return t.joinStep(ctx, b)
	}
	t.part = part{Batch: b, starts: t.starts(b), rows: t.cfg.Batch.Rows, micro: t.cfg.Batch.Accumulate}
	t.resolver.Begin(t.part.micro)
	return nil
}

// settle is the step's loss by language, and on many machines what was counted
// of the batch.
func (t *Trainer) settle(b *data.Batch) ([]float64, error) {
	if t.team != nil {
		t.lossByLang = t.outcome(b)
	}
	return t.byLang()
}

// byLang is the step's loss by language, from the readbacks of its micro-batches.
func (t *Trainer) byLang() ([]float64, error) {
	if t.lossByLang == nil {
		if len(t.losses) < t.part.micro {
			return nil, fmt.Errorf("train: losses of %d of %d micro-batches were read when a method asked for them", len(t.losses), t.part.micro)
		}
		var err error
		if t.lossByLang, err = t.meanLosses(t.part, t.losses); err != nil {
			return nil, err
		}
	}
	return t.lossByLang, nil
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

// tokens2device is micro-batch micro of a part: its rows, with each token's
// scale and, where rows of gradients are kept, its segments by language.
func (t *Trainer) tokens2device(b part, micro int, scales []float32) model.Tokens {
	s := t.cfg.Batch.SeqLen
	n := b.rows * s
	lo := micro * n
	hi := lo + n
	k := model.Tokens{IDs: b.IDs[lo:hi], Labels: b.Labels[lo:hi], Pos: b.Pos[lo:hi],
		DocStart: shift(b.DocStart[lo:hi], lo), DocEnd: shift(b.DocEnd[lo:hi], lo),
		Scale: make([]float32, n)}
	for i := range n {
		k.Scale[i] = scales[b.Lang[(lo+i)/s]]
	}
	for _, start := range b.starts {
		k.Starts = append(k.Starts, min(max(start-lo, 0), n))
	}
	return k
}

// starts are the segments of the whole batch: one, one per language, or two
// halves of whole rows per language.
func (t *Trainer) starts(b *data.Batch) []int {
	s := t.cfg.Batch.SeqLen
	switch {
	case t.objective.Static():
		return []int{0, len(b.IDs)}
	case !t.cfg.Objective.Noise.Halves:
		return b.Starts
	}
	out := []int{0}
	for m := range len(b.Starts) - 1 {
		rows := (b.Starts[m+1] - b.Starts[m]) / s
		out = append(out, b.Starts[m]+(rows+1)/2*s, b.Starts[m+1])
	}
	return out
}

// halfTokens counts the supervised tokens of every half-language.
func (t *Trainer) halfTokens(b *data.Batch) []int {
	if t.objective.Static() || !t.cfg.Objective.Noise.Halves {
		return nil
	}
	starts := t.starts(b)
	out := make([]int, len(starts)-1)
	for h := range out {
		for _, label := range b.Labels[starts[h]:starts[h+1]] {
			if label != data.Ignore {
				out[h]++
			}
		}
	}
	return out
}

// shift makes document borders relative to a micro-batch's first token.
func shift(x []uint32, by int) []uint32 {
	out := make([]uint32, len(x))
	for i, v := range x {
		out[i] = v - uint32(by)
	}
	return out
}

// meanLosses is each language's mean loss over its supervised tokens, NaN where
// it has none.
func (t *Trainer) meanLosses(b part, losses []*gpu.Readback) ([]float64, error) {
	sum := make([]float64, len(t.langs))
	err := t.eachLoss(b, losses, func(token int, loss float64) { sum[b.Lang[token/t.cfg.Batch.SeqLen]] += loss })
	if err != nil {
		return nil, err
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

// eachLoss calls f with the loss of every supervised token of a part.
func (t *Trainer) eachLoss(b part, losses []*gpu.Readback, f func(token int, loss float64)) error {
	n := b.rows * t.cfg.Batch.SeqLen
	for micro, l := range losses {
		v, err := readFloats(l)
		if err != nil {
			return err
		}
		for i := range n {
			if at := micro*n + i; b.Labels[at] != data.Ignore {
				f(at, float64(v[i]))
			}
		}
	}
	return nil
}
