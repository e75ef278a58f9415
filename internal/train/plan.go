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
	"concord/internal/device"
	"concord/internal/fault"
	"concord/internal/model"
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
	Host     int64            `json:"host_bytes"`    // of the states before a step, see optim.in_backward
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
	known  *knownPeaks
}

// NewPlanner reads everything that a run needs but its weights. No device is opened.
func NewPlanner(cfg *config.Config) (*Planner, error) {
	c, err := OpenCorpus(cfg)
	if err != nil {
		return nil, err
	}
	check, err := checkOf(cfg, c)
	if err != nil {
		return nil, err
	}
	if cfg.Model.Init != config.InitRandom {
		if err := model.Check(cfg.Resolve(cfg.Model.Path), c.Model); err != nil {
			return nil, DataError(err)
		}
	}
	if err := device.CheckVariant(cfg.Device.GEMM); err != nil {
		return nil, located(cfg, err)
	}
	return &Planner{cfg: cfg, corpus: c, Check: check, known: &knownPeaks{}}, nil
}

// On plans the run on a card: it makes two steps, a probe and an evaluation where the run
// has them, and a save, on a device that accounts for memory and does nothing.
// A run that is refused there would be refused on the card, by the same code.
func (p *Planner) On(c Card) (MemoryPlan, error) {
	if p.cfg.Memory.Fit != config.FitAuto {
		return p.on(c)
	}
	var said strings.Builder
	cfg, err := p.fitted(c, &said)
	if errors.Is(err, gpu.ErrOutOfMemory) {
		return p.on(c)
	}
	if err != nil {
		return MemoryPlan{}, err
	}
	out, err := (&Planner{cfg: cfg, corpus: p.corpus, known: p.known}).on(c)
	out.Fit = strings.TrimPrefix(strings.TrimSpace(said.String()), "concord: ")
	return out, err
}

func (p *Planner) on(c Card) (MemoryPlan, error) {
	out := MemoryPlan{Card: c.Name, Budget: c.Memory, Rows: p.cfg.Batch.Rows}
	fits, m, err := p.fits(c, p.cfg.Batch.Rows)
	if err != nil {
		return out, err
	}
	if out.Fits = fits; !fits {
		if _, err := p.try(c, p.cfg.Batch.Rows); err != nil { // by the code that would refuse it on the card
			out.Why = err.Error()
		}
	}
	out.Peak, out.Host, out.ByRole = m.Peak, m.host, map[string]int64{}
	for role, r := range m.Roles {
		if r.AtPeak > 0 {
			out.ByRole[string(role)] = r.AtPeak
		}
	}
	out.MostRows, err = p.mostRows(c, out)
	return out, err
}

// errTooLarge says that a batch is larger than the kernels take at once.
var errTooLarge = errors.New("too large a batch")

// try runs the run's kinds of work once with so many rows on a dry device, which refuses
// a run that the card would.
func (p *Planner) try(c Card, rows int) (peak, error) { return p.dry(c, rows, false) }

// dry is try on a device that may refuse nothing.
func (p *Planner) dry(c Card, rows int, measuring bool) (peak, error) {
	dev, err := gpu.OpenDry(gpu.DryDevice{Name: c.Name, Type: c.Type, Budget: c.Memory, Limits: c.Limits, Measuring: measuring})
	if err != nil {
		return peak{}, fault.Device(err)
	}
	defer dev.Close()
	cfg := *p.cfg
	cfg.Batch.Rows = rows
	shaped, err := p.corpus.Resampled(samplerOptions(&cfg))
	if err != nil {
		return peak{}, err
	}
	e := tensor.NewEngine(dev, tensor.Options{NoAutotune: true,
		Reserve: cfg.Device.Autotune && cfg.Device.GEMM == "", Variant: cfg.Device.GEMM})
	t, err := trainerOn(e, &cfg, shaped, nil, io.Discard, false)
	if err != nil {
		if rows != p.cfg.Batch.Rows && !errors.Is(err, gpu.ErrOutOfMemory) {
			err = errors.Join(errTooLarge, err)
		}
		return peak{}, err
	}
	defer t.Release()
	out := peak{Memory: dev.Memory(), host: t.HostBytes()}
	if cfg.Clustered() { // a step needs the other machines; the memory that it takes here is known
		out.Peak = max(out.Peak, t.Planned())
		return out, nil
	}
	out.Memory, err = p.work(t)
	return out, err
}

// work is the work of a run on the device.
func (p *Planner) work(t *Trainer) (gpu.Memory, error) {
	ctx := context.Background() // nothing waits on a dry device
	steps := 2
	if t.cfg.Batch.Rows > longSearch*p.cfg.Batch.Rows {
		steps = 1
	}
	for range steps {
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
