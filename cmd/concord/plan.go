package main

import (
	"fmt"
	"os"
	"slices"
	"strings"

	"concord/gpu"
	"concord/internal/config"
	"concord/internal/report"
	"concord/internal/train"
)

type planCmd struct {
	RunFile string `arg:"" help:"Run file (TOML)."`
	overrides
	Card    string `help:"${plan_card}" placeholder:"SIZE"`
	Kind    string `default:"discrete" enum:"discrete,integrated,cpu" help:"Kind of device: discrete, integrated or cpu."`
	Workers int    `placeholder:"N" help:"${plan_workers}"`
	Measure bool   `help:"Make a few steps on this machine's device, and say how long the run takes on it."`
	JSON    bool   `help:"Print the plan as JSON."`
}

// Help is printed by --help after the one-line description.
func (c *planCmd) Help() string {
	return `The run's steps, a probe, an evaluation and a save are made on a device that accounts for memory
and does nothing, by the code that would do them. The bytes on the wire are those of the plans that the
machines' coordinator makes of the same rows. No GPU is touched, but with --measure, and nothing is written.`
}

func (c *planCmd) Run() error {
	cfg, note, err := c.load()
	if err != nil {
		return err
	}
	p, err := c.plan(cfg)
	if err != nil {
		return err
	}
	if c.JSON {
		return printJSON(p)
	}
	if note != "" {
		p.Run.Warnings = append(p.Run.Warnings, note)
	}
	report.Warn(os.Stdout, p.Run.Warnings)
	fmt.Printf(" run     %s of %s × %d tokens, %s\n", report.Plural(p.Run.Steps, "step"), report.Plural(p.Run.Rows, "row"),
		p.Run.SeqLen, report.Plural(p.Run.Trained, "language"))
	printTime(p, cfg.Clustered())
	printWire(p.Wire)
	printMemory(p.Cards, p.Variants)
	if !p.Cards[0].Fits {
		for _, fix := range lessMemory(p.Cards[0], cfg) {
			fmt.Printf(" !       %s\n", fix)
		}
	}
	return nil
}

// planned is all that is planned of a run.
type planned struct {
	Run        train.Plan         `json:"run"`
	Cards      []train.MemoryPlan `json:"cards"`
	Variants   []train.Variant    `json:"variants"`
	Wire       []train.WirePlan   `json:"wire"`
	Time       *train.StepTime    `json:"time"` // null: not measured
	unmeasured string             // why the run's own steps do not count, "" where there are none
}

func (c *planCmd) plan(cfg *config.Config) (out planned, err error) {
	p, err := train.NewPlanner(cfg)
	if err != nil {
		return out, err
	}
	out.Run = p.Check
	if out.Cards, err = c.plans(p, cfg); err != nil {
		return out, err
	}
	if out.Variants, err = p.Variants(gpu.AdapterType(c.Kind)); err != nil {
		return out, err
	}
	if out.Wire, err = c.wirePlans(p, cfg); err != nil {
		return out, err
	}
	out.Time, out.unmeasured, err = c.time(p)
	return out, err
}

// load reads the run file. Weights that are not there yet are not needed: note then says that
// the plan is of the configuration alone.
func (c *planCmd) load() (cfg *config.Config, note string, err error) {
	o := c.Override
	if cfg, err = config.Load(c.RunFile, o); c.Workers != 0 {
		o = append(slices.Clone(o), fmt.Sprintf("cluster.workers=%d", c.Workers))
		if c.Workers > 1 && (cfg == nil || !cfg.Clustered()) {
			o = append(o, "cluster.listen=:4433")
		}
		cfg, err = config.Load(c.RunFile, o)
	}
	if err == nil {
		return cfg, "", nil
	}
	without, e := config.Load(c.RunFile, append(slices.Clone(o), "model.init=random"))
	if e != nil || without.Origin("model.init") == "default" {
		return nil, "", err
	}
	return without, fmt.Sprintf("planned from config.json alone: %v", err), nil
}

// smallestCard is the first usual card on which a run of that peak fits.
func smallestCard(peak int64) string {
	size := ""
	for _, card := range train.UsualCards(gpu.Discrete) {
		size = strings.TrimSpace(strings.TrimSuffix(card.Name, " card"))
		if peak <= card.Memory {
			return size
		}
	}
	return "> " + size
}

// lessMemory lists lines of the run file that take less.
func lessMemory(m train.MemoryPlan, cfg *config.Config) (out []string) {
	if n := m.ByRole[string(gpu.RoleProbe)]; n > 0 {
		out = append(out, fmt.Sprintf("every = 0  # in [probe]: %s less", report.Bytes(n)))
	}
	if n := m.ByRole[string(gpu.RoleActivations)]; n > 0 && !cfg.Memory.Checkpointing {
		out = append(out, fmt.Sprintf("checkpointing = true  # in [memory]: a part of %s less", report.Bytes(n)))
	}
	if n := m.ByRole[string(gpu.RoleRows)]; n > 0 {
		out = append(out, fmt.Sprintf("method = \"mean\"  # in [objective], or an override of the largest parameters: up to %s less",
			report.Bytes(n)))
	}
	if m.MostRows > 0 {
		out = append(out, fmt.Sprintf("rows = %d  # in [batch]; accumulate keeps the step's batch as large", m.MostRows))
	}
	return out
}

// plans are those of the card that was asked for, if one was, and of usual ones.
func (c *planCmd) plans(p *train.Planner, cfg *config.Config) (out []train.MemoryPlan, err error) {
	var list []train.Card
	kind := gpu.AdapterType(c.Kind)
	if c.Card != "" {
		n, err := config.ParseSize(c.Card)
		if err != nil {
			return nil, usagef("--card: %v", err)
		}
		list = append(list, train.Card{Name: c.Card + " card", Type: kind, Memory: int64(train.CardShare * float64(n))})
	} else if n := int64(cfg.Device.Memory); n > 0 {
		list = append(list, train.Card{Name: "device.memory", Type: kind, Memory: n})
	}
	for _, card := range append(list, train.UsualCards(kind)...) {
		m, err := p.On(card)
		if err != nil {
			return nil, err
		}
		out = append(out, m)
	}
	return out, nil
}
