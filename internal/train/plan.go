package train

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"concord/bucket"
	"concord/gpu"
	"concord/internal/config"
	"concord/internal/corpus"
	"concord/internal/fault"
	"concord/internal/report"
	"concord/tensor"
)

// Card is a device that a plan is made for.
type Card struct {
	Name   string
	Type   gpu.AdapterType
	Memory int64      // bytes that a run may take of it
	Limits gpu.Limits // zero: those of a usual GPU
}

// MemoryPlan is the memory that a run takes of a device.
type MemoryPlan struct {
	Card     string           `json:"card"`
	Budget   int64            `json:"budget_bytes"`
	Peak     int64            `json:"peak_bytes"`    // of the run as the run file has it
	ByRole   map[string]int64 `json:"bytes_by_role"` // at the peak
	Fits     bool             `json:"fits"`
	Why      string           `json:"why,omitempty"` // it does not fit
	Rows     int              `json:"rows"`          // batch.rows of the run file
	MostRows int              `json:"most_rows"`     // that fit; 0: not even one
	Fit      string           `json:"fit,omitempty"` // the settings that memory.fit = "auto" chooses
}

// Planner plans one run's memory on devices that are not there.
type Planner struct {
	cfg    *config.Config
	corpus *corpus.Corpus
	Check  Plan // of the run file and its data
}

// NewPlanner reads everything that a run needs but its weights. No device is opened.
func NewPlanner(cfg *config.Config) (*Planner, error) {
	check, err := Check(cfg)
	if err != nil {
		return nil, err
	}
	c, err := OpenCorpus(cfg)
	if err != nil {
		return nil, err
	}
	return &Planner{cfg: cfg, corpus: c, Check: check}, nil
}

// unbounded is more memory than any card has.
const unbounded = 1 << 50

// maxPlannedRows bounds the search for the largest batch.
const maxPlannedRows = 4096

// On plans the run on a card: it makes two steps, a probe and an evaluation where the run
// has them, and a save, on a device that accounts for memory and does nothing.
// A run that is refused there would be refused on the card, by the same code.
func (p *Planner) On(c Card) (MemoryPlan, error) {
	if p.cfg.Memory.Fit != config.FitAuto {
		return p.on(c)
	}
	var said strings.Builder
	cfg, err := fitOn(p.cfg, p.corpus, c, &said)
	if errors.Is(err, gpu.ErrOutOfMemory) {
		return p.on(c)
	}
	if err != nil {
		return MemoryPlan{}, err
	}
	out, err := (&Planner{cfg: cfg, corpus: p.corpus}).on(c)
	out.Fit = strings.TrimPrefix(strings.TrimSpace(said.String()), "concord: ")
	return out, err
}

func (p *Planner) on(c Card) (MemoryPlan, error) {
	out := MemoryPlan{Card: c.Name, Budget: c.Memory, Rows: p.cfg.Batch.Rows}
	m, err := p.try(c, p.cfg.Batch.Rows)
	switch {
	case err == nil:
		out.Fits = true
	case errors.Is(err, gpu.ErrOutOfMemory):
		out.Why = err.Error()
		c := c
		c.Memory = unbounded
		if m, err = p.try(c, p.cfg.Batch.Rows); err != nil {
			return out, err
		}
	default:
		return out, err
	}
	out.Peak, out.ByRole = m.Peak, map[string]int64{}
	for role, r := range m.Roles {
		if r.AtPeak > 0 {
			out.ByRole[string(role)] = r.AtPeak
		}
	}
	out.MostRows, err = p.mostRows(c, out)
	return out, err
}

// mostRows is the largest batch.rows that fits, by bisection: exact up to 32 rows, within
// 3 % above.
func (p *Planner) mostRows(c Card, at MemoryPlan) (int, error) {
	fits := func(rows int) (bool, error) {
		_, err := p.try(c, rows)
		if errors.Is(err, gpu.ErrOutOfMemory) || errors.Is(err, errTooLarge) {
			return false, nil
		}
		return err == nil, err
	}
	lo, hi := 0, 1
	if at.Fits {
		lo, hi = at.Rows, 2*at.Rows
	}
	for hi <= maxPlannedRows {
		ok, err := fits(hi)
		if err != nil {
			return 0, err
		}
		if !ok {
			break
		}
		lo, hi = hi, 2*hi
	}
	if hi = min(hi, maxPlannedRows+1); !at.Fits {
		hi = min(hi, at.Rows)
	}
	for hi-lo > max(1, lo/32) { // among many rows a few do not matter
		mid := (lo + hi) / 2
		ok, err := fits(mid)
		if err != nil {
			return 0, err
		}
		if ok {
			lo = mid
		} else {
			hi = mid
		}
	}
	return lo, nil
}

// errTooLarge says that a batch is larger than the kernels take at once.
var errTooLarge = errors.New("too large a batch")

// try runs the run's kinds of work once with so many rows on a dry device.
func (p *Planner) try(c Card, rows int) (gpu.Memory, error) {
	dev, err := gpu.OpenDry(gpu.DryDevice{Name: c.Name, Type: c.Type, Budget: c.Memory, Limits: c.Limits})
	if err != nil {
		return gpu.Memory{}, fault.Device(err)
	}
	defer dev.Close()
	cfg := *p.cfg
	cfg.Batch.Rows = rows
	shaped, err := p.corpus.Resampled(samplerOptions(&cfg))
	if err != nil {
		return gpu.Memory{}, err
	}
	e := tensor.NewEngine(dev, tensor.Options{NoAutotune: true})
	t, err := trainerOn(e, &cfg, shaped, nil, io.Discard, false)
	if err != nil {
		if rows != p.cfg.Batch.Rows && !errors.Is(err, gpu.ErrOutOfMemory) {
			err = errors.Join(errTooLarge, err)
		}
		return gpu.Memory{}, err
	}
	defer t.Release()
	if cfg.Clustered() { // a step needs the other machines; the memory that it takes here is known
		m := dev.Memory()
		m.Peak = max(m.Peak, t.Planned())
		return m, nil
	}
	return p.work(t)
}

// work is the work of a run on the device.
func (p *Planner) work(t *Trainer) (gpu.Memory, error) {
	ctx := context.Background() // nothing waits on a dry device
	for range 2 {
		if _, err := t.Step(ctx); err != nil {
			return gpu.Memory{}, err
		}
	}
	if t.cfg.Probe.Every > 0 {
		if _, _, err := t.Probe(ctx); err != nil {
			return gpu.Memory{}, err
		}
	}
	one := *t.cfg
	one.Eval.Rows, one.Eval.Error = 1, 0
	if v, err := newEvaluator(t.corpus, &one, nil); err != nil {
		return gpu.Memory{}, err
	} else if err := p.answer(ctx, t); err != nil {
		return gpu.Memory{}, err
	} else if v.batches.Len() > 0 {
		if _, err := v.run(ctx, t.Engine, t.Model, t.Input, 0); err != nil {
			return gpu.Memory{}, err
		}
	}
	largest := slices.MaxFunc(t.Store.Layout.Names(), func(a, b string) int {
		x, _ := t.Store.Layout.Place(a)
		y, _ := t.Store.Layout.Place(b)
		return x.Size() - y.Size()
	})
	if _, err := t.Store.Raw(bucket.Weight, largest); err != nil { // as saving does
		return gpu.Memory{}, fault.Classify(err)
	}
	return t.Engine.Dev.Memory(), fault.Device(t.Engine.Dev.Err())
}

// answer takes the memory of eval.samples, and says one answer.
func (p *Planner) answer(ctx context.Context, t *Trainer) error {
	q, err := newQuestions(t.corpus, t.cfg, func(string) {})
	if err != nil {
		return err
	}
	s, err := q.speaker(t.Model, t.corpus, baseFolder(t.cfg))
	if s == nil {
		return err
	}
	q.list, q.most = q.list[:1], 1
	return q.ask(ctx, s, &report.Eval{})
}

// String is one line of the plan.
func (m MemoryPlan) String() string {
	switch {
	case m.Fits:
		about := ""
		if m.MostRows > 32 {
			about = "about "
		}
		return fmt.Sprintf("%s: fits, %s of %s; batch.rows up to %s%d", m.Card, report.Bytes(m.Peak), report.Bytes(m.Budget), about, m.MostRows)
	case m.MostRows > 0:
		return fmt.Sprintf("%s: does not fit, %s of %s; with batch.rows = %d it does", m.Card, report.Bytes(m.Peak),
			report.Bytes(m.Budget), m.MostRows)
	}
	return fmt.Sprintf("%s: does not fit, %s of %s, not with a single row either", m.Card, report.Bytes(m.Peak), report.Bytes(m.Budget))
}
