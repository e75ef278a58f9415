package train

import (
	"context"
	"io"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"concord/gpu"
	"concord/internal/cluster/worker"
	"concord/internal/config"
)

// The bytes that concord plan says of each exchange are those that machines count over loopback, by
// machine, but for the metadata of what owners resolve: in these small groups a few percent.
func TestPlanOfTheWireIsCounted(t *testing.T) {
	const machines, exchanges = 3, 4
	for name, c := range map[string]struct {
		settings []string
		metadata float64 // a part of the payload
	}{
		"gradients":            {nil, 0.02},
		"gradients in slices":  {[]string{"cluster.slice=8KB"}, 0.02},
		"gradients as bf16":    {[]string{"cluster.wire=bf16"}, 0.03},
		"local":                {[]string{"cluster.resolve=local"}, 0.005},
		"parameters":           {[]string{"cluster.sync=parameters", "cluster.wire=bf16"}, 0.02},
		"parameters and local": {[]string{"cluster.sync=parameters", "cluster.resolve=local"}, 0.005},
		"outer steps":          {[]string{"cluster.outer=2", "schedule.steps=8"}, 0.02},
		"outer steps as int8":  {[]string{"cluster.outer=2", "schedule.steps=8", "cluster.wire=int8"}, 0.07},
	} {
		t.Run(name, func(t *testing.T) {
			cfg := tiny(t, slices.Concat(exact, []string{"schedule.steps=4", "schedule.warmup=0"}, c.settings)...)
			plan := wirePlan(t, planner(t, cfg), machines)
			if plan.Counted != exchanges || plan.Total() == 0 {
				t.Fatalf("%+v", plan)
			}
			up, down := counted(t, newGang(t, cfg, machines))
			for i := range machines {
				for what, n := range map[string][2]int64{"up": {plan.Up[i], up[i]}, "down": {plan.Down[i], down[i]}} {
					if more := float64(n[1])/exchanges/float64(n[0]) - 1; more < 0 || more > c.metadata {
						t.Errorf("machine %d, %s: %d bytes planned, %d counted in %d exchanges: %+.2f %%", i+1, what, n[0], n[1], exchanges, 100*more)
					}
				}
			}
		})
	}
	one := wirePlan(t, planner(t, tiny(t)), 1) // the fifth exchange is none
	if one.Total() != 0 || one.Format != "" {
		t.Errorf("one machine sends %+v", one)
	}
}

func planner(t *testing.T, cfg *config.Config) *Planner {
	t.Helper()
	p, err := NewPlanner(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func wirePlan(t *testing.T, p *Planner, machines int) WirePlan {
	t.Helper()
	w, err := p.Wire(machines)
	if err != nil {
		t.Fatal(err)
	}
	return w
}

// counted makes all of a run's steps and returns the bytes that each machine has counted.
func counted(t *testing.T, g *gang) (up, down []int64) {
	t.Helper()
	defer g.stop()
	g.steps(max(1, g.all[0].cfg.OuterSteps()))
	var first []*worker.Step
	for _, tr := range g.all {
		first = append(first, tr.machines.Plan())
	}
	g.steps(g.all[0].Steps)
	for deadline := time.Now().Add(time.Minute); ; time.Sleep(time.Millisecond) { // for the last acknowledgements
		up, down = nil, nil
		on := int64(0)
		for _, s := range first {
			x := s.Timing()
			up, down, on = append(up, x.Sent), append(down, x.Received), on+x.Received-x.Sent
		}
		if on == 0 {
			return up, down
		}
		if time.Now().After(deadline) {
			t.Fatalf("%d bytes were received and not sent", on)
		}
	}
}

// The time of a step is that of the run's own steps, where its settings are the same, and else measured.
func TestPlanOfTheTime(t *testing.T) {
	cfg := tiny(t, "schedule.steps=4", "eval.every=0")
	p := planner(t, cfg)
	if took, note, err := p.Recorded(); took != nil || note != "" || err != nil {
		t.Fatalf("before the run: %+v, %q, %v", took, note, err)
	}
	now, err := p.Measure(t.Context(), io.Discard)
	if err != nil || now.Steps < 1 || !(now.Seconds > 0) || now.Whole != 4*now.Seconds || now.Device == "" || now.Run != "" {
		t.Fatalf("measured: %+v, %v", now, err)
	}
	if _, err := os.Stat(cfg.OutDir()); !os.IsNotExist(err) {
		t.Errorf("measuring left a folder: %v", err)
	}
	if _, err := until("", func(ctx context.Context, ui UI) error { _, err := Run(ctx, cfg, ui); return err }); err != nil {
		t.Fatal(err)
	}
	own, note, err := p.Recorded()
	if err != nil || note != "" || own == nil || own.Steps != 4 || !(own.Seconds > 0) || own.Run != cfg.OutDir() || own.Device != now.Device {
		t.Errorf("of the run: %+v, %q, %v", own, note, err)
	}
	other := *cfg
	other.Batch.Rows++
	took, note, err := planner(t, &other).Recorded()
	if took != nil || !strings.Contains(note, "[batch]") || err != nil {
		t.Errorf("of a run with other rows: %+v, %q, %v", took, note, err)
	}
}

// A run whose memory.fit = "auto" left the settings as they are, or changed some, is that of its run file.
func TestPlanOfAFittedRun(t *testing.T) {
	for name, part := range map[string]float64{"as it is": 2, "changed": 0.9} {
		t.Run(name, func(t *testing.T) {
			cfg := tiny(t, `memory.fit="auto"`, "batch.rows=48", "schedule.steps=2", "eval.every=0", "objective.gram=rows")
			m, err := planner(t, cfg).try(Card{Name: "card", Type: gpu.CPU, Memory: unbounded}, cfg.Batch.Rows)
			if err != nil {
				t.Fatal(err)
			}
			cfg.Device.Memory = config.Size(part * float64(m.Peak))
			if _, err := until("", func(ctx context.Context, ui UI) error { _, err := Run(ctx, cfg, ui); return err }); err != nil {
				t.Fatal(err)
			}
			l, err := readLock(cfg.OutDir())
			if err != nil {
				t.Fatal(err)
			}
			as := *cfg
			as.Memory.Fit = config.FitOff
			if other := otherSteps(l.Config, &as); other != "" != (part < 1) {
				t.Fatalf("memory.fit changed [%s]", other)
			}
			if took, note, err := planner(t, cfg).Recorded(); took == nil || took.Steps != 2 || note != "" || err != nil {
				t.Errorf("%+v, %q, %v", took, note, err)
			}
			cfg.Batch.SeqLen /= 2
			if took, note, err := planner(t, cfg).Recorded(); took != nil || !strings.Contains(note, "other settings in [") || err != nil {
				t.Errorf("with shorter rows: %+v, %q, %v", took, note, err)
			}
		})
	}
}
