package stepcheck

import (
	"context"
	"io"

	"concord/bucket"
	"concord/internal/device"
	"concord/internal/exchange"
	"concord/internal/step"
	"concord/tensor"
)

// watched is a run on one machine that keeps the outcome of its last step.
type watched struct {
	exchange.Exchange
	last step.Outcome
}

// Finish implements step.Exchange.
func (w *watched) Finish(ctx context.Context) (step.Outcome, error) {
	var err error
	w.last, err = w.Exchange.Finish(ctx)
	return w.last, err
}

// onDevice makes the step with the trainer of a run, from the problem's weights.
func (p *problem) onDevice(e *tensor.Engine) (result, error) {
	w := &watched{}
	t, err := step.New(step.Options{Settings: p.settings(), Arch: p.arch, Sampler: p.sampler, Steps: 1, Engine: e,
		Device: device.Options{Warn: io.Discard}}, func(r *step.Replica) (step.Exchange, error) {
		var err error
		w.Exchange, err = exchange.New(r, exchange.Options{})
		return w, err
	})
	if err != nil {
		return result{}, err
	}
	defer t.Release()
	for name, v := range p.weights {
		if err := t.Store.Load(bucket.Weight, name, v); err != nil {
			return result{}, err
		}
	}
	if _, err := t.Step(context.Background()); err != nil {
		return result{}, err
	}
	return p.read(t.Store, w.last)
}

// read takes a step's results from the device.
func (p *problem) read(s *bucket.Store, o step.Outcome) (result, error) {
	r := result{clip: o.Clip}
	r.addLosses(o.Losses)
	for i, g := range s.Layout.Groups {
		names := group{name: g.Name}
		for _, b := range g.Buckets {
			for _, place := range s.Layout.Buckets[b].Params {
				names.params = append(names.params, place.Name)
			}
		}
		r.groups = append(r.groups, names)
		r.parts[1] = append(r.parts[1], part{g.Name, float32s(matrix(o.Groups.Buckets[i].G))})
		for _, name := range names.params {
			gradient, err := s.Read(bucket.Gradient, name)
			if err != nil {
				return r, err
			}
			weight, err := s.Read(bucket.Weight, name)
			if err != nil {
				return r, err
			}
			r.add(name, gradient, p.weights[name], weight)
		}
	}
	return r, nil
}

// addLosses appends the languages' losses.
func (r *result) addLosses(losses []float64) {
	for m, l := range losses {
		r.parts[0] = append(r.parts[0], part{"language " + langs[m], []float32{float32(l)}})
	}
}

// add appends the step's result of a parameter.
func (r *result) add(name string, gradient, before, after []float32) {
	change := make([]float32, len(after))
	for i := range change {
		change[i] = after[i] - before[i]
	}
	for k, v := range [][]float32{gradient, change, after} {
		r.parts[2+k] = append(r.parts[2+k], part{name, v})
	}
}
