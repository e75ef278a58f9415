package train

import (
	"errors"
	"strings"

	"concord/gpu"
	"concord/internal/config"
	"concord/internal/report"
)

// Variant is the run with some settings changed, and the memory that it takes.
type Variant struct {
	Lines []string `json:"lines"` // of the run file; none: as it is
	Peak  int64    `json:"peak_bytes"`
}

// String is one line of the plan.
func (v Variant) String() string {
	lines := strings.Join(v.Lines, ", ")
	if lines == "" {
		lines = "the run as it is"
	}
	return report.Bytes(v.Peak) + ": " + lines
}

// Variants plans the run as it is, with checkpointing, with states of fewer bits and with
// an adapter, for any memory of the device. A variant that other settings cannot go
// with, or that changes nothing of the run, is left out.
func (p *Planner) Variants(kind gpu.AdapterType) ([]Variant, error) {
	as := smaller{}
	recompute := as.with("memory.checkpointing = true", func(c *config.Config) { c.Memory.Checkpointing = true })
	bits := func(s smaller) smaller {
		if p.cfg.Probe.Every > 0 {
			s = s.with("probe.every = 0", func(c *config.Config) { c.Probe.Every = 0 })
		}
		return s.with(`model.dtype = "bf16"`, func(c *config.Config) { c.Model.Dtype = config.BF16 }).
			with(`optim.moments = "int8"`, func(c *config.Config) { c.Optim.Moments = config.MomentsInt8 })
	}
	lora := recompute.with(`adapter.kind = "lora"`, func(c *config.Config) {
		if !c.Adapted() {
			c.Adapter.Kind = config.LoRA
		}
	})
	list := []smaller{as, recompute, bits(as), bits(recompute), lora,
		lora.with(`model.base_type = "int8"`, func(c *config.Config) {
			if c.Model.BaseType == "" {
				c.Model.BaseType = config.BaseInt8
			}
		})}
	var out []Variant
	seen := map[string]bool{}
	for i, s := range list {
		if s = s.effective(p.cfg); seen[s.String()] {
			continue
		}
		seen[s.String()] = true
		q, err := p.changed(s)
		if err != nil {
			if i == 0 {
				return nil, err
			}
			continue
		}
		m, err := q.measure(Card{Name: "any", Type: kind, Memory: unbounded}, q.cfg.Batch.Rows)
		switch {
		case err == nil:
			out = append(out, Variant{Lines: s.lines, Peak: m.Peak})
		case i == 0 || errors.Is(err, gpu.ErrOutOfMemory):
			return nil, err
		}
	}
	return out, nil
}

// changed plans the run with a change, whose model may have an adapter.
func (p *Planner) changed(s smaller) (*Planner, error) {
	cfg, c := s.of(p.cfg), *p.corpus
	cfg.Memory.Fit = config.FitOff
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	c.Model.Adapter = nil
	if cfg.Adapted() {
		a, err := adapterOf(cfg)
		if err != nil {
			return nil, err
		}
		c.Model.Adapter = a
	}
	return &Planner{cfg: cfg, corpus: &c, known: &knownPeaks{}}, nil
}
