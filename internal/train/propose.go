package train

import (
	"fmt"
	"io"
	"strings"

	"concord/gpu"
	"concord/internal/config"
	"concord/internal/device"
	"concord/internal/fault"
	"concord/internal/report"
)

// Proposal is a run's settings by which it fits a device, for a run file that is to be written.
type Proposal struct {
	Settings map[string]string // as TOML, by key; of keys that the run file may not have yet
	Peak     int64             // bytes that the run then takes
	Whole    int64             // bytes that it takes as its run file is
	Adapter  bool              // they train an adapter in place of the model
}

// ProposedKeys are the keys that a Proposal's settings may have, in the order of a run file.
var ProposedKeys = []string{"model.dtype", "model.base_type", "adapter.kind", "batch.rows", "batch.accumulate", "batch.logits_chunk",
	"objective.gram", "objective.in_flight", "optim.moments", "optim.in_backward", "memory.checkpointing"}

// otherResults are changes that take less memory than smallerSteps reach, each with other
// results: the ones with the least effect on these first (docs/memory.md).
func otherResults() []smaller {
	bits := smaller{}.with(`model.dtype = "bf16"`, func(c *config.Config) { c.Model.Dtype = config.BF16 }).
		with(`optim.moments = "int8"`, func(c *config.Config) { c.Optim.Moments = config.MomentsInt8 })
	lora := smaller{}.with(`adapter.kind = "lora"`, func(c *config.Config) { c.Adapter.Kind = config.LoRA })
	base := func(line string, t config.BaseType) smaller {
		return lora.with(line, func(c *config.Config) { c.Model.BaseType = t })
	}
	return []smaller{{}, bits,
		bits.with("optim.in_backward = true", func(c *config.Config) { c.Optim.InBackward = true }),
		lora, base(`model.base_type = "int8"`, config.BaseInt8), base(`model.base_type = "nf4"`, config.BaseNF4)}
}

// Propose chooses settings with which the run fits the card: as it is, else with the same
// results in less memory, else with states of fewer bits, else with an adapter. Where nothing
// helps the error says how much the least takes.
func (p *Planner) Propose(card Card) (Proposal, error) {
	budget := card.Memory
	card.Memory = int64(fitShare * float64(budget))
	all := card
	all.Memory = unbounded
	m, first := p.try(all, p.cfg.Batch.Rows)
	whole, least := m.Peak, int64(0)
	list := p.smallerRuns()
	for _, s := range list {
		q, err := p.changed(s)
		if err != nil {
			continue // a change that these settings cannot take
		}
		if m, err = q.try(card, q.cfg.Batch.Rows); err == nil {
			return Proposal{Settings: s.settings(), Peak: m.Peak, Whole: whole, Adapter: q.cfg.Adapted()}, nil
		}
	}
	for _, s := range list {
		if q, err := p.changed(s); err == nil {
			if m, err = q.try(all, q.cfg.Batch.Rows); err == nil && (least == 0 || m.Peak < least) {
				least = m.Peak
			}
		}
	}
	if least == 0 { // not for lack of memory
		return Proposal{}, first
	}
	return Proposal{}, fault.Device(fmt.Errorf("%w: a step of this model takes %s, at least %s by any of its settings, and "+
		"%s may use %s\n  fix: a smaller model, or a device with more memory", gpu.ErrOutOfMemory, report.Bytes(whole), report.Bytes(least),
		card.Name, report.Bytes(budget)))
}

// smallerRuns are the run as it is, and then in ever less memory, in the order in which they
// are preferred.
func (p *Planner) smallerRuns() (out []smaller) {
	for _, other := range otherResults() {
		for _, s := range append([]smaller{{}}, smallerSteps(other.of(p.cfg))...) {
			out = append(out, smaller{append(other.lines[:len(other.lines):len(other.lines)], s.lines...),
				append(other.apply[:len(other.apply):len(other.apply)], s.apply...)})
		}
	}
	return out
}

// settings are the lines by key.
func (s smaller) settings() map[string]string {
	out := map[string]string{}
	for _, line := range s.lines {
		for _, one := range strings.Split(line, ", ") {
			key, value, _ := strings.Cut(one, " = ")
			out[key] = value
		}
	}
	return out
}

// DeviceCard is the device that the run would use, with the memory that a run may take of it;
// gpu.ErrNoAdapter where there is none.
func DeviceCard(cfg *config.Config) (Card, error) {
	e, err := device.Open(DeviceOptions(cfg.Device, io.Discard))
	if err != nil {
		return Card{}, located(cfg, err)
	}
	defer e.Dev.Close()
	return cardOf(e), nil
}
