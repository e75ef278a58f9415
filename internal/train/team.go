package train

import (
	"bytes"
	"context"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"path/filepath"
	"sync"

	"concord/internal/cluster"
	"concord/internal/data"
	"concord/internal/objective"
	"concord/internal/report"
	"concord/internal/safetensors"
	"concord/transport"
)

// team is the trainer's side of a run on many machines.
type team struct {
	member *cluster.Member
	warm   bool           // a step was computed
	leads  func() error   // why this machine, which led equal ones, leads no more; nil elsewhere
	recent []report.Step  // the latest, of equal machines: whichever leads next records those that nobody has
	dir    string         // for states that are fetched
	apart  string         // for what only this machine holds; "" where it is in the run's checkpoints
	saves  sync.WaitGroup // of what goes there
	log    func(format string, args ...any)
	step   *cluster.Step
	issued chan struct{} // closed when the reads of all losses of the step are under way
	whole  bool          // they all are
	once   sync.Once     // closes issued
	sums   func() ([]float64, error)
}

// errCaughtUp says that a step was not made because the weights of a later one
// were fetched.
var errCaughtUp = errors.New("caught up")

// shape tells a member what the steps of this model look like.
func (t *Trainer) clusterShape() cluster.Shape {
	s := cluster.Shape{Device: t.engine.Dev.Info().Name, Segments: t.exchanged().Segments(), Langs: len(t.langs), Parameters: t.cfg.Sharded()}
	if t.cfg.Cluster.Local() {
		s.Segments = 1
	}
	for _, u := range t.store.Layout.Units {
		s.Units = append(s.Units, u.Size)
	}
	for m := range s.Segments {
		name := "gradient"
		if !t.cfg.Cluster.Local() {
			name = t.langs[m*len(t.langs)/s.Segments]
		}
		s.Names = append(s.Names, name)
	}
	s.Codec, _ = transport.ParseCodec(t.cfg.Cluster.Format()) // validated with the run file
	return s
}

// work says what the rows of a batch are.
func (t *Trainer) work(b *data.Batch) cluster.Work {
	w := cluster.Work{Lang: b.Lang, Segments: t.exchanged().Segments(), Langs: len(t.langs), Segment: make([]int, b.Rows), Tokens: make([]int, b.Rows)}
	starts, seg := b.Starts, 0
	if w.Whole = t.outer != nil; !w.Whole {
		starts = t.starts(b)
	}
	if w.Local = t.cfg.Cluster.Local(); w.Local {
		w.Segments, starts = 1, []int{0, len(b.IDs)}
	}
	for r := range b.Rows {
		for starts[seg+1] <= r*b.SeqLen {
			seg++
		}
		w.Segment[r] = seg
		for _, label := range b.Labels[r*b.SeqLen : (r+1)*b.SeqLen] {
			if label != data.Ignore {
				w.Tokens[r]++
			}
		}
	}
	return w
}

// exchanges is how many exchanges lie before the trainer's next step: what the
// other machines call a step.
func (t *Trainer) exchanges() int {
	if h := t.cfg.OuterSteps(); h > 0 {
		return (t.step + h - 1) / h
	}
	return t.step
}

// behind is the step that comes behind so many exchanges.
func (t *Trainer) behind(exchanges int) int {
	return min(exchanges*max(1, t.cfg.OuterSteps()), t.corpus.steps)
}

// exchangeBatch is what all machines compute for an exchange: a step's batch, or
// those of an outer step.
func (t *Trainer) exchangeBatch(exchange int) *data.Batch {
	if t.outer != nil {
		b, _ := t.roundBatch(t.behind(exchange))
		return b
	}
	return t.corpus.sampler.Batch(exchange)
}

// enter waits for the plan of the exchange in which b is computed, and does what it
// asks for first.
func (t *Trainer) enter(ctx context.Context, b *data.Batch) (*cluster.Step, error) {
	s, err := t.team.member.Begin(ctx, t.exchanges(), t.work(b))
	if err != nil {
		return nil, err
	}
	t.team.step = s
	if s.Check {
		if err := t.compare(); err != nil {
			return nil, err
		}
	}
	if s.Snapshot {
		return s, t.offer()
	}
	return s, nil
}

// joinStep waits for the plan of the step, and takes this machine's share of b.
func (t *Trainer) joinStep(ctx context.Context, b *data.Batch) error {
	s, err := t.enter(ctx, b)
	if err != nil {
		return err
	}
	if s.Saved {
		t.keepApart()
	}
	t.part = part{}
	if n := s.Share.Size(); n > 0 {
		micro := (n + t.cfg.Batch.Rows - 1) / t.cfg.Batch.Rows
		rows := (n + micro - 1) / micro
		if t.model == nil || t.model.Dims().Rows != rows || !t.team.warm {
			s.Cold()
		}
		t.team.warm = true
		if err := t.shape(rows); err != nil {
			return err
		}
		from, all := s.Share.From*b.SeqLen, rows*micro*b.SeqLen
		t.part = part{Batch: b.Part(s.Share.From, s.Share.To, rows*micro), starts: data.Cut(t.starts(b), from, n*b.SeqLen, all), rows: rows, micro: micro}
	}
	t.team.expectLosses(t)
	if t.cfg.Cluster.Local() {
		return t.joinLocally(b)
	}
	return t.resolver.BeginExchange(max(1, t.part.micro), s, t.team.sums)
}

// joinLocally has this machine resolve the languages of its rows by themselves:
// losses are means over its own tokens, and its gradient counts for its share of
// the languages, a part of one where others have tokens of it too.
func (t *Trainer) joinLocally(b *data.Batch) (err error) {
	share, present := 0.0, 0
	own := make([]int, len(t.langs))
	if t.part.Batch != nil {
		own = t.part.Supervised
	}
	for m, n := range b.Supervised {
		if n > 0 {
			share, present = share+float64(own[m])/float64(n), present+1
		}
	}
	t.objective.Restart(own, t.byLang)
	if t.scales, err = t.objective.Scales(own); err != nil {
		return err
	}
	return t.resolver.BeginLocal(max(1, t.part.micro), t.team.step, t.team.sums, share/float64(max(1, present)))
}

// expectLosses prepares the sums of the losses of this machine's rows. They are
// asked for from other goroutines, before the last of them has been recorded.
func (x *team) expectLosses(t *Trainer) {
	x.issued, x.whole, x.once = make(chan struct{}), false, sync.Once{}
	issued, step, b := x.issued, x.step, t.part
	x.sums = sync.OnceValues(func() ([]float64, error) {
		<-issued
		if !x.whole {
			return nil, errors.New("the step was given up")
		}
		rows, langs := make([]float64, len(b.starts)-1), make([]float64, len(t.langs))
		seg := 0
		err := t.eachLoss(b, t.losses, func(token int, loss float64) {
			for b.starts[seg+1] <= token {
				seg++
			}
			rows[seg] += loss
			langs[b.Lang[token/t.cfg.Batch.SeqLen]] += loss
		})
		step.Losses(langs)
		if t.cfg.Cluster.Local() {
			sum := 0.0
			for _, l := range rows {
				sum += l
			}
			rows = []float64{sum}
		}
		return rows, err
	})
}

// lossesIssued says that all losses of the step are on their way, or with !whole
// that the step ends without.
func (x *team) lossesIssued(whole bool) {
	if x == nil || x.issued == nil {
		return
	}
	x.once.Do(func() { x.whole = whole; close(x.issued) })
}

// outcome is the committed step: its losses by language, NaN where nothing was
// counted, and b.Supervised becomes the tokens that were.
func (t *Trainer) outcome(b *data.Batch) []float64 {
	k := t.team.step.Outcome()
	t.root = hex.EncodeToString(k.Root[:])
	out := objective.Unknown(len(b.Supervised))
	for m := range b.Supervised {
		b.Supervised[m] = 0
		if m < len(k.Tokens) && k.Tokens[m] > 0 {
			b.Supervised[m], out[m] = k.Tokens[m], k.Loss[m]/float64(k.Tokens[m])
		}
	}
	return out
}

// record is what the step's report tells of the other machines.
func (x *team) record() *report.Exchange {
	s := x.step.Timing()
	r := &report.Exchange{Workers: s.Workers, Rows: x.step.Share.Size(), Seconds: s.Exchange.Seconds(), Exposed: s.Waited.Seconds(), SentBytes: s.Sent, ReceivedBytes: s.Received, Missing: s.Missing}
	if r.Seconds > 0 {
		r.Hidden = report.Float(max(0, 1-r.Exposed/r.Seconds))
	} else {
		r.Hidden = report.Float(math.NaN())
	}
	return r
}

// offer puts the weights, moments and the methods' state before this step where
// a newcomer can fetch them.
func (t *Trainer) offer() error {
	s, err := json.Marshal(t.bareState())
	if err != nil {
		return err
	}
	var b bytes.Buffer
	if err := safetensors.Encode(&b, t.snapshot(t.kept(), t.store.Read), nil); err != nil {
		return classify(err)
	}
	t.team.member.Offer(t.exchanges(), map[string][]byte{stateFile: s, tensorsFile: b.Bytes()})
	return nil
}

// compare tells the hashes of what all machines hold alike, by unit.
func (t *Trainer) compare() error {
	alike := t.kept()
	if t.outer != nil {
		alike = alike[:1]
	}
	var units []transport.Hash
	for i, u := range t.store.Layout.Units {
		var parts [][]byte
		if t.outer != nil {
			parts = append(parts, transport.F32.Encode(t.outer.velocity[i]))
		}
		for _, b := range u.Buckets {
			for _, s := range alike {
				x, err := t.engine.Dev.Read(t.store.Flat(s, b).View()).Wait()
				if err != nil {
					return classify(err)
				}
				parts = append(parts, x)
			}
		}
		units = append(units, transport.Sum(parts...))
	}
	t.team.member.Compare(t.exchanges(), units)
	return nil
}

// bareState is what a checkpoint holds besides the tensors, without the
// evaluations of this sitting.
func (t *Trainer) bareState() state {
	s := state{Step: t.step, Root: t.root, Tokens: t.tokens, Supervised: t.supervised, Updates: t.adam.Steps(), Clip: t.clip, Method: t.cfg.Objective.Method, Scope: t.cfg.Objective.Scope,
		Langs: t.langs, Settings: &t.cfg.Objective, Objective: t.objective.Snapshot()}
	if t.outer != nil {
		o := t.outer.objective.Snapshot()
		s.Outer = &o
	}
	return s
}

// catchUp fetches the run's state from another machine, where there is one.
func (t *Trainer) catchUp(ctx context.Context) error {
	if err := os.MkdirAll(t.team.dir, 0o700); err != nil {
		return DataError(err)
	}
	fetched := false
	step, err := t.team.member.State(ctx, t.exchanges(), []string{stateFile, tensorsFile}, func(part string) (io.WriteCloser, error) {
		fetched = true
		return os.Create(filepath.Join(t.team.dir, part))
	})
	if err != nil {
		return err
	}
	if !fetched {
		return nil // there is nobody else: this machine's weights are the run's
	}
	s, err := readState(t.team.dir, t.cfg)
	if err != nil {
		return err
	}
	if s.Step != t.behind(step) {
		return DataError(fmt.Errorf("the weights of step %d were sent as those of step %d", s.Step, t.behind(step)))
	}
	if err := t.restore(t.team.dir, s); err != nil {
		return err
	}
	if err := t.takeApart(); err != nil {
		return err
	}
	return os.RemoveAll(t.team.dir)
}
