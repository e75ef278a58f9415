package step

import (
	"context"

	"concord/bucket"
	"concord/gpu"
	"concord/internal/fault"
	"concord/internal/report"
	"concord/tensor"
)

// probe measures the effect of one step on every language's loss on the step's own
// batch: the first-order prediction ⟨g_m, Δθ⟩ for the update Δθ that the
// optimizer made, momentum and preconditioner included, and the change that
// really happened. It keeps the weights of before and after the step.
//
// ⟨g_m, Δθ⟩ is the derivative of the loss along Δθ at the old weights. It is
// taken as a central difference, [L(θ+εΔθ) − L(θ−εΔθ)] / 2ε: two forward passes,
// no gradient of any single language, and an error of ε² times the third
// derivative along Δθ.
type probe struct {
	t    *Trainer
	both []tensor.Tensor // by bucket, (2, Size): weights before and after
}

// probeStep is ε, in steps. A power of two, so that 1−ε and ε are exact.
const probeStep = 0.25

// newProbe allocates two copies of the weights.
func newProbe(t *Trainer) (*probe, error) {
	p := &probe{t: t}
	for _, b := range t.Store.Layout.Buckets {
		p.both = append(p.both, t.Engine.New(gpu.RoleProbe, "weights of a probe", 2, b.Size))
	}
	return p, fault.Device(t.Engine.Dev.Err())
}

// bytes is the memory that a probe takes.
func probeBytes(l bucket.Layout) int64 {
	var n int64
	for _, b := range l.Buckets {
		n += 2 * 4 * int64(b.Size)
	}
	return n
}

// row is the weights of bucket b before (0) or after (1) the step.
func (p *probe) row(b, i int) tensor.Tensor {
	t := p.both[b]
	return tensor.Tensor{Buf: t.Buf, Offset: int64(i) * int64(t.LD) * 4, R: 1, C: t.C, LD: t.LD}
}

// save copies the weights as they stand.
func (p *probe) save(i int) {
	for b := range p.both {
		p.t.Engine.Dev.Copy(p.row(b, i).View(), p.t.Store.Flat(bucket.Weight, b).View())
	}
}

// move sets the weights to (1−x)·before + x·after. 0 and 1 are exact.
func (p *probe) move(x float32) {
	for b, both := range p.both {
		rows := tensor.TaskGrads{Buf: both.Buf, M: 2, Stride: both.LD, R: 1, C: both.C, LD: both.LD}
		p.t.Engine.Combine(p.t.Store.Flat(bucket.Weight, b), rows, []float32{1 - x, x}, false)
	}
}

// Probe makes the next step, as Step does, and measures its effect. The run
// goes on as if there had been no probe, to the same bits.
func (t *Trainer) Probe(ctx context.Context) (report.Step, report.Probe, error) {
	p, err := newProbe(t)
	defer p.release()
	if err != nil {
		return report.Step{}, report.Probe{}, err
	}
	p.save(0)
	t.Engine.Dev.Profile(true)
	s, err := t.Step(ctx)
	phases := t.Engine.Dev.Spans()
	t.Engine.Dev.Profile(false)
	if err != nil {
		return s, report.Probe{}, err
	}
	p.save(1)
	out := report.Probe{Kind: "probe", Step: s.Step, Predicted: map[string]report.Float{}, Realised: map[string]report.Float{},
		Phases: map[string]float64{}}
	for name, d := range phases {
		if name != "" {
			out.Phases[name] = d.Seconds()
		}
	}
	b := t.Sampler.Batch(t.Done - 1)
	if b.Err != nil {
		return s, out, fault.Data(b.Err)
	}
	losses := map[float32][]float64{}
	for _, x := range []float32{probeStep, -probeStep, 1} { // the weights of after the step come last
		p.move(x)
		if losses[x], err = t.Losses(t.Whole(b)); err != nil {
			p.move(1)
			return s, out, fault.Classify(err)
		}
	}
	for m, lang := range t.Langs {
		if b.Supervised[m] > 0 {
			out.Predicted[lang] = report.Float((losses[probeStep][m] - losses[-probeStep][m]) / (2 * probeStep))
			out.Realised[lang] = report.Float(losses[1][m]) - s.LossByLang[lang]
		}
	}
	return s, out, nil
}

// Losses is the losses by language of a part, whose losses were not read before, under
// the weights as they stand: a forward pass, and no gradient.
func (r *Replica) Losses(p *Part) ([]float64, error) {
	for i := range p.Micro {
		if err := r.Input.Upload(p.TokensOf(i, nil)); err != nil {
			return nil, err
		}
		r.Model.EvalLoss(r.Input)
		p.readLosses()
	}
	return p.LossByTask()
}

func (p *probe) release() {
	for _, b := range p.both {
		b.Buf.Release()
	}
}
