package main

import (
	"fmt"
	"maps"
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
	Card string `help:"${plan_card}" placeholder:"SIZE"`
	Kind string `default:"discrete" enum:"discrete,integrated,cpu" help:"Kind of device: discrete, integrated or cpu."`
	JSON bool   `help:"Print the plan as JSON."`
}

// Help is printed by --help after the one-line description.
func (c *planCmd) Help() string {
	return `The run's steps, a probe, an evaluation and a save are made on a device that accounts for memory
and does nothing, by the code that would do them. No GPU is touched and nothing is written.`
}

func (c *planCmd) Run() error {
	cfg, note, err := c.load()
	if err != nil {
		return err
	}
	p, err := train.NewPlanner(cfg)
	if err != nil {
		return err
	}
	plans, err := c.plans(p, cfg)
	if err != nil {
		return err
	}
	variants, err := p.Variants(gpu.AdapterType(c.Kind))
	if err != nil {
		return err
	}
	if c.JSON {
		return printJSON(struct {
			Run      train.Plan         `json:"run"`
			Cards    []train.MemoryPlan `json:"cards"`
			Variants []train.Variant    `json:"variants"`
		}{p.Check, plans, variants})
	}
	if note != "" {
		p.Check.Warnings = append(p.Check.Warnings, note)
	}
	report.Warn(os.Stdout, p.Check.Warnings)
	fmt.Printf(" run     %s of %s × %d tokens, %s\n", report.Plural(p.Check.Steps, "step"), report.Plural(p.Check.Rows, "row"),
		p.Check.SeqLen, report.Plural(p.Check.Trained, "language"))
	m := plans[0]
	fmt.Printf(" memory  %s at the peak\n", report.Bytes(m.Peak))
	roles := slices.SortedFunc(maps.Keys(m.ByRole), func(a, b string) int { return int(min(1, max(-1, m.ByRole[b]-m.ByRole[a]))) })
	for _, role := range roles {
		fmt.Printf("         %-12s %10s\n", role, report.Bytes(m.ByRole[role]))
	}
	if m.Host > 0 {
		fmt.Printf(" host    %s of host memory besides: the states before a step (optim.in_backward)\n", report.Bytes(m.Host))
	}
	for _, m := range plans {
		fmt.Printf(" card    %s\n", m)
		if m.Fit != "" {
			fmt.Printf("         %s\n", m.Fit)
		}
	}
	for _, v := range variants {
		fmt.Printf(" needs   %-10s %s\n", smallestCard(v.Peak), v)
	}
	if !plans[0].Fits {
		for _, fix := range lessMemory(m, cfg) {
			fmt.Printf(" !       %s\n", fix)
		}
	}
	return nil
}

// load reads the run file. Weights that are not there yet are not needed: note then says that
// the plan is of the configuration alone.
func (c *planCmd) load() (cfg *config.Config, note string, err error) {
	if cfg, err = config.Load(c.RunFile, c.Override); err == nil {
		return cfg, "", nil
	}
	without, e := config.Load(c.RunFile, append(c.Override[:len(c.Override):len(c.Override)], "model.init=random"))
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
