package train

import (
	"fmt"
	"io"
	"reflect"
	"strings"

	"concord/gpu"
	"concord/internal/config"
	"concord/internal/corpus"
	"concord/internal/device"
	"concord/internal/fault"
	"concord/internal/report"
	"concord/tensor"
)

// smaller is a change of a run that takes less memory for the same steps.
type smaller struct {
	lines []string // of the run file
	apply []func(c *config.Config)
}

// with is s and one change more.
func (s smaller) with(line string, apply func(c *config.Config)) smaller {
	return smaller{append(s.lines[:len(s.lines):len(s.lines)], line), append(s.apply[:len(s.apply):len(s.apply)], apply)}
}

func (s smaller) of(cfg *config.Config) *config.Config {
	c := *cfg
	for _, f := range s.apply {
		f(&c)
	}
	return &c
}

// effective is s without the lines that change nothing in cfg.
func (s smaller) effective(cfg *config.Config) smaller {
	out, c := smaller{}, *cfg
	for i, f := range s.apply {
		before := c
		if f(&c); !reflect.DeepEqual(before, c) {
			out = out.with(s.lines[i], f)
		}
	}
	return out
}

func (s smaller) String() string { return strings.Join(s.lines, ", ") }

// shortChunk is the fewest tokens whose logits exist at one time.
const shortChunk = 64

// smallerSteps are the changes that memory.fit = "auto" tries, the cheapest in time
// first. Settings of the run file stay. On many machines each may decide them for
// itself.
func smallerSteps(cfg *config.Config) []smaller {
	free := func(key string) bool { return cfg.Origin(key) == "default" }
	alone := !cfg.Clustered()
	var cheap []smaller
	s := smaller{}
	if alone && free("batch.logits_chunk") {
		s = s.with(fmt.Sprintf("batch.logits_chunk = %d", shortChunk), func(c *config.Config) { c.Batch.LogitsChunk = shortChunk })
		cheap = append(cheap, s)
	}
	if alone && free("objective.gram") && cfg.Objective.Metric == config.MetricEuclidean && cfg.Batch.Accumulate == 1 {
		s := s.with(`objective.gram = "ghost"`, func(c *config.Config) { c.Objective.Gram = config.GramGhost })
		cheap = append(cheap, s)
		if free("objective.in_flight") { // 2 on a GPU
			cheap = append(cheap, s.with("objective.in_flight = 1", func(c *config.Config) { c.Objective.InFlight = 1 }))
		}
	}
	if alone && free("batch.accumulate") {
		for k := 2; k <= cfg.Batch.Rows; k *= 2 {
			if rows := cfg.Batch.Rows / k; rows*k == cfg.Batch.Rows {
				cut := func(c *config.Config) { c.Batch.Rows, c.Batch.Accumulate = rows, k }
				cheap = append(cheap, s.with(fmt.Sprintf("batch.rows = %d, batch.accumulate = %d", rows, k), cut))
			}
		}
	}
	out := cheap
	if free("memory.checkpointing") {
		for _, s := range append([]smaller{{}}, cheap...) {
			out = append(out, s.with("memory.checkpointing = true", func(c *config.Config) { c.Memory.Checkpointing = true }))
		}
	}
	return out
}

// fitShare is the part of the budget that a plan may take: it is within 5 % of the memory
// measured.
const fitShare = 0.95

// fit is cfg with the settings that its steps need to fit the device, where memory.fit asks for it:
// the first of smallerSteps that does, which is said on warn. The result has memory.fit
// "off", so that a resume keeps the choice. The device that was opened for it is the
// caller's to use or close; nil where none was.
func fit(cfg *config.Config, c *corpus.Corpus, warn io.Writer) (*config.Config, *tensor.Engine, error) {
	if cfg.Memory.Fit != config.FitAuto {
		return cfg, nil, nil
	}
	e, err := device.Open(DeviceOptions(cfg.Device, warn))
	if err != nil {
		return nil, nil, located(cfg, err)
	}
	fitted, err := fitOn(cfg, c, cardOf(e), warn)
	if err != nil {
		e.Dev.Close()
		return nil, nil, err
	}
	return fitted, e, nil
}

// cardOf is the engine's device.
func cardOf(e *tensor.Engine) Card {
	i := e.Dev.Info()
	return Card{Name: i.Name, Type: i.Type, Memory: e.Dev.Memory().Budget, Limits: i.Limits}
}

// closeDevice closes a device that may not have been opened.
func closeDevice(e *tensor.Engine) {
	if e != nil {
		e.Dev.Close()
	}
}

func fitOn(cfg *config.Config, c *corpus.Corpus, card Card, warn io.Writer) (*config.Config, error) {
	return (&Planner{cfg: cfg, corpus: c, known: &knownPeaks{}}).fitted(card, warn)
}

// fitted is the run with the first of smallerSteps that makes it fit the card.
func (p *Planner) fitted(card Card, warn io.Writer) (*config.Config, error) {
	cfg := p.cfg
	budget := card.Memory
	card.Memory = int64(fitShare * float64(budget))
	whole, least, how := int64(0), int64(0), ""
	for i, s := range append([]smaller{{}}, smallerSteps(cfg)...) {
		changed := s.of(cfg)
		changed.Memory.Fit = config.FitOff
		if i > 0 && changed.Validate() != nil {
			continue // a change that these settings cannot take
		}
		q := &Planner{cfg: changed, corpus: p.corpus, known: p.known}
		fits, m, err := q.fits(card, changed.Batch.Rows)
		if err != nil {
			if i == 0 {
				return nil, err
			}
			continue // likewise
		}
		if fits {
			said := "the step fits as it is"
			if i > 0 {
				said = fmt.Sprintf("%s: with what the run file has a step takes %s", s, report.Bytes(whole))
			}
			fmt.Fprintf(warn, "concord: memory.fit: %s; planned are %s of %s\n", said, report.Bytes(m.Peak), report.Bytes(budget))
			return changed, nil
		}
		if i == 0 {
			whole = m.Peak
		}
		if least == 0 || m.Peak < least {
			least, how = m.Peak, s.String()
		}
	}
	return nil, fault.Device(fmt.Errorf("%w: memory.fit: a step takes %s, at least %s (%s), and the budget is %s"+
		"\n  fix: a smaller batch.seq_len, more device.memory, or %s",
		gpu.ErrOutOfMemory, report.Bytes(whole), report.Bytes(least), orNothing(how), report.Bytes(budget),
		`adapter.kind = "lora", or model.dtype = "bf16" with optim.moments = "int8": other results`))
}

func orNothing(how string) string {
	if how == "" {
		return "nothing can be changed"
	}
	return how
}
