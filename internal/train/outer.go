package train

import (
	"context"
	"errors"
	"slices"
	"time"

	"concord/bucket"
	"concord/internal/data"
	"concord/internal/objective"
	"concord/internal/report"
	"concord/internal/safetensors"
)

// outer is a run whose machines make H steps by themselves, each on its share of
// every batch, before they exchange what has changed: the languages' changes are
// resolved bucket by bucket as gradients are in every step of other runs, and an
// outer optimizer, SGD with Nesterov's momentum, applies them (DiLoCo; Douillard et
// al., 2311.08105). Within its steps a machine resolves the languages that it has.
//
// What the outer optimizer does, every machine does alike on the CPU in float32,
// to the same bits. AdamW's moments belong to each machine alone.
type outer struct {
	objective *objective.Objective // resolves the changes; the trainer's own is of the steps
	resolver  *bucket.Resolver
	velocity  [][]float32 // by unit, of the outer optimizer
	before    *memento    // while a round is under way
}

// memento is what a machine held before a round.
type memento struct {
	states    map[bucket.State][][]float32 // by unit
	updates   int64
	clip      float64
	objective objective.State
}

func (o *outer) attach(t *Trainer) (err error) {
	o.objective.Attach(t.store.Layout.Units)
	for _, u := range t.store.Layout.Units {
		o.velocity = append(o.velocity, make([]float32, u.Size))
	}
	o.resolver, err = bucket.NewResolver(t.store, bucket.Options{Objectives: len(t.langs), Solver: o.objective})
	return DeviceError(err)
}

// exchanged is the objective whose rows go to other machines.
func (t *Trainer) exchanged() *objective.Objective {
	if t.outer != nil {
		return t.outer.objective
	}
	return t.objective
}

// roundBatch is the batches of the round that begins with a step, joined, and which
// of them each row is from.
func (t *Trainer) roundBatch(step int) (*data.Batch, []int) {
	var all []*data.Batch
	for k := range max(1, min(t.cfg.Cluster.Outer, t.corpus.steps-step)) {
		all = append(all, t.corpus.sampler.Batch(step+k))
	}
	return data.Join(all)
}

// round makes the steps of a round and exchanges what they have changed: the path
// of its batches, top to bottom.
func (t *Trainer) round(ctx context.Context) (report.Step, error) {
	if t.team == nil {
		return report.Step{}, errors.New("train: cluster.outer needs the run's machines")
	}
	start := time.Now()
	o := t.outer
	if err := o.undo(t); err != nil { // the round is done again
		return report.Step{}, err
	}
	batch, of := t.roundBatch(t.step)
	if batch.Err != nil {
		return report.Step{}, DataError(batch.Err)
	}
	n := slices.Max(of) + 1
	s, err := t.enter(ctx, batch)
	if err != nil {
		return report.Step{}, err
	}
	o.objective.Begin(int64(t.step), batch.Supervised, nil, nil)
	if err := o.remember(t); err != nil {
		return report.Step{}, err
	}
	if s.Saved {
		t.keepApart()
	}
	sums, err := t.localSteps(batch, of, n)
	if err != nil {
		return report.Step{}, err
	}
	s.Losses(sums)
	if err := t.pushChanges(sums); err != nil {
		return report.Step{}, err
	}
	resolved, err := o.resolver.ResolveChanges(s)
	if err != nil {
		return report.Step{}, classify(err)
	}
	byLang := t.outcome(batch)
	if err := t.diverged(batch, resolved); err != nil {
		return report.Step{}, err
	}
	if err := t.outerUpdate(); err != nil {
		return report.Step{}, err
	}
	o.objective.RecordLosses(byLang)
	t.resolved = resolved
	t.step += n
	t.count(batch)
	r := t.record(batch, resolved, byLang)
	r.Exchange = t.team.record()
	r.ClipScale, r.LR, r.Seconds = report.Float(t.clip), report.Float(t.schedule.At(int64(t.step-1))), time.Since(start).Seconds()
	return r, nil
}

// localSteps makes this machine's n steps of a round and returns the sums of their
// losses by language.
func (t *Trainer) localSteps(batch *data.Batch, of []int, n int) (sums []float64, err error) {
	sums = make([]float64, len(t.langs))
	share := t.team.step.Share
	mine, most := make([][]int, n), 0
	for r := share.From; r < share.To; r++ {
		mine[of[r]] = append(mine[of[r]], r)
		most = max(most, len(mine[of[r]]))
	}
	if most == 0 {
		return sums, nil
	}
	micro := (most + t.cfg.Batch.Rows - 1) / t.cfg.Batch.Rows
	rows := (most + micro - 1) / micro
	if t.model == nil || t.model.Dims().Rows != rows || !t.team.warm {
		t.team.step.Cold()
	}
	t.team.warm = true
	if err := t.shape(rows); err != nil {
		return nil, err
	}
	for k, rowsOfStep := range mine {
		b := batch.Pick(rowsOfStep, rows*micro)
		t.part = part{Batch: b, starts: t.starts(b), rows: rows, micro: micro}
		if err := t.localStep(t.step+k, sums); err != nil {
			return nil, err
		}
	}
	return sums, nil
}

// localStep is a step on t.part as one machine alone makes it, but for one that has
// nothing to learn from.
func (t *Trainer) localStep(step int, sums []float64) error {
	if total(t.part.Supervised) == 0 {
		return nil
	}
	t.objective.Begin(int64(step), t.part.Supervised, nil, t.byLang)
	t.losses, t.lossByLang = nil, nil
	var err error
	if t.scales, err = t.objective.Scales(t.part.Supervised); err != nil {
		return err
	}
	t.resolver.Begin(t.part.micro)
	if err := t.compute(); err != nil {
		return err
	}
	resolved, err := t.resolver.Finish()
	if err != nil {
		return classify(err)
	}
	means, err := t.byLang()
	if err != nil {
		return classify(err)
	}
	if err := t.diverged(t.part.Batch, resolved); err != nil {
		return err
	}
	if t.clip, err = t.adam.Step(resolved, t.schedule.At(int64(step))); err != nil {
		return divergence(err)
	}
	t.objective.RecordLosses(means)
	for m, n := range t.part.Supervised {
		if n > 0 {
			sums[m] += means[m] * float64(n)
		}
	}
	return nil
}

func total(x []int) (sum int) {
	for _, n := range x {
		sum += n
	}
	return sum
}

// pushChanges sends what this machine's steps have changed on its way, once for all
// of its languages.
func (t *Trainer) pushChanges(sums []float64) error {
	s, loss := t.team.step, 0.0
	if len(s.Rows()) == 0 {
		return nil
	}
	for _, l := range sums {
		loss += l
	}
	for u := range t.store.Layout.Units {
		now, err := t.readUnit(bucket.Weight, u)
		if err != nil {
			return err
		}
		for i, w := range t.outer.before.states[bucket.Weight][u] {
			now[i] = w - now[i]
		}
		s.Push(u, [][]float32{now}, []float64{loss})
	}
	return nil
}

// outerUpdate applies the resolved changes to the weights before the round.
func (t *Trainer) outerUpdate() error {
	o, lr, mu := t.outer, float32(t.cfg.Cluster.OuterLR), float32(t.cfg.Cluster.OuterMoment)
	for u := range t.store.Layout.Units {
		d, err := t.readUnit(bucket.Gradient, u)
		if err != nil {
			return err
		}
		w, v := o.before.states[bucket.Weight][u], o.velocity[u]
		for i, g := range d { // conversions keep compilers from fusing: the same bits everywhere
			v[i] = float32(mu*v[i]) + g
			w[i] -= float32(lr * (g + float32(mu*v[i])))
		}
		t.setUnit(bucket.Weight, u, w)
	}
	o.before = nil
	return classify(t.engine.Dev.Sync())
}

// remember keeps what this machine holds before a round.
func (o *outer) remember(t *Trainer) error {
	k := &memento{states: map[bucket.State][][]float32{}, updates: t.adam.Steps(), clip: t.clip, objective: t.objective.Snapshot()}
	for _, s := range states {
		for u := range t.store.Layout.Units {
			x, err := t.readUnit(s, u)
			if err != nil {
				return err
			}
			k.states[s] = append(k.states[s], x)
		}
	}
	o.before = k
	return nil
}

// undo makes this machine hold again what it did before the round that was begun.
func (o *outer) undo(t *Trainer) error {
	k := o.before
	if k == nil {
		return nil
	}
	for _, s := range states {
		for u, x := range k.states[s] {
			t.setUnit(s, u, x)
		}
	}
	t.adam.SetSteps(k.updates)
	t.clip, o.before = k.clip, nil
	return t.objective.Restore(k.objective)
}

// readUnit is a state of a unit, as its buckets lie one after the other.
func (t *Trainer) readUnit(s bucket.State, u int) ([]float32, error) {
	var out []float32
	for _, b := range t.store.Layout.Units[u].Buckets {
		x, err := t.engine.Download(t.store.Flat(s, b))
		if err != nil {
			return nil, classify(err)
		}
		out = append(out, x...)
	}
	return out, nil
}

// setUnit writes it.
func (t *Trainer) setUnit(s bucket.State, u int, x []float32) {
	for _, b := range t.store.Layout.Units[u].Buckets {
		n := t.store.Layout.Buckets[b].Size
		t.engine.Upload(t.store.Flat(s, b), x[:n])
		x = x[n:]
	}
}

// velocityName is a parameter's part of the outer optimizer's state in a file.
func velocityName(p string) string { return "velocity/" + p }

// entries are the outer optimizer's state.
func (o *outer) entries(t *Trainer) (out []safetensors.Entry) {
	for u := range t.store.Layout.Units {
		for _, p := range t.placesOf(u) {
			out = append(out, safetensors.Entry{Name: velocityName(p.Name), DType: safetensors.F32, Shape: []int{p.R, p.C},
				Data: func() ([]float32, error) { return unpad(o.velocity[u][p.at:], p.R, p.C, p.LD()), nil }})
		}
	}
	return out
}

// moments are those of AdamW before the round: of the memento, or of now where none
// is under way.
func (o *outer) moments(t *Trainer) (out []safetensors.Entry, err error) {
	k := o.before
	if k == nil {
		if err := o.remember(t); err != nil {
			return nil, err
		}
		k, o.before = o.before, nil
	}
	for _, s := range []bucket.State{bucket.First, bucket.Second} {
		for u := range t.store.Layout.Units {
			x := k.states[s][u]
			for _, p := range t.placesOf(u) {
				out = append(out, safetensors.Entry{Name: string(s) + "/" + p.Name, DType: safetensors.F32, Shape: []int{p.R, p.C},
					Data: func() ([]float32, error) { return unpad(x[p.at:], p.R, p.C, p.LD()), nil }})
			}
		}
	}
	return out, nil
}

// restore reads it, where the file has it, and the state of the objective.
func (o *outer) restore(t *Trainer, f *safetensors.Reader, s *objective.State) error {
	o.before = nil
	if s == nil {
		return nil // of a run that had no outer steps
	}
	for u := range t.store.Layout.Units {
		for _, p := range t.placesOf(u) {
			v, err := f.ReadFloat32(velocityName(p.Name))
			if err != nil {
				return DataError(err)
			}
			if len(v) != p.R*p.C {
				return DataError(errors.New(velocityName(p.Name) + " is of another shape"))
			}
			pad(o.velocity[u][p.at:], v, p.R, p.C, p.LD())
		}
	}
	return o.objective.Restore(*s)
}

// logEvery is how many steps lie between two lines on the screen.
func (t *Trainer) logEvery() int {
	if t.outer != nil {
		return 1
	}
	return t.cfg.Log.Every
}

// crossed says that a multiple of every was reached with the last step, or passed
// with the last round.
func (t *Trainer) crossed(every int) bool {
	last := 1
	if h := t.cfg.OuterSteps(); h > 0 {
		last = (t.step-1)%h + 1
	}
	return t.step/every != (t.step-last)/every
}
