package train

import (
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"

	"concord/gpu"
	"concord/internal/config"
	"concord/internal/train/traintest"
)

// TestPlanIsMeasured holds that the planned peak is within 5 % of the measured one, for
// methods with and without a Gram, element by element, every scope, micro-batches, probes,
// and heads that are tied to the embedding and not.
func TestPlanIsMeasured(t *testing.T) {
	traintest.RequireAdapter(t)
	for name, overrides := range map[string][]string{
		"mean":             {`objective.method="mean"`},
		"pcgrad":           {`objective.method="pcgrad"`},
		"global":           {`objective.method="mgda"`, `objective.scope="global"`, "objective.in_flight=2"},
		"graddrop":         {`objective.method="graddrop"`, `objective.scope="tensor"`},
		"accumulate":       {`objective.method="pcgrad"`, "batch.accumulate=2"},
		"probe":            {`objective.method="cagrad"`, "probe.every=1"},
		"checkpoint":       {`objective.method="pcgrad"`, "memory.checkpointing=true"},
		"packed":           {`objective.method="pcgrad"`, "model.dtype=bf16", "optim.moments=int8"},
		"factored":         {`objective.method="pcgrad"`, "model.dtype=bf16", "optim.name=adafactor", "optim.in_backward=true"},
		"applied":          {`objective.method="pcgrad"`, "model.dtype=bf16", "optim.moments=int8", "optim.in_backward=true"},
		"applied-in-place": {`objective.method="mean"`, "optim.in_backward=true"},
		"lora":             {`objective.method="pcgrad"`, "adapter.kind=lora", "adapter.rank=4"},
		"lora-int8":        {`objective.method="pcgrad"`, "adapter.kind=lora", "adapter.rank=4", "model.base_type=int8", "memory.checkpointing=true"},
		"lora-nf4": {`objective.method="pcgrad"`, "adapter.kind=lora", "adapter.rank=4", "model.base_type=nf4", "model.embedding_type=nf4",
			"model.dtype=bf16", "optim.moments=int8", "optim.in_backward=true"},
	} {
		for tied, make := range map[bool]func(testing.TB, map[string]string) string{true: traintest.Run, false: traintest.UntiedRun} {
			t.Run(fmt.Sprint(name, " tied ", tied), func(t *testing.T) {
				cfg, err := config.Load(make(t, nil), append(overrides, "device.autotune=false"))
				if err != nil {
					t.Fatal(err)
				}
				real, limits := measured(t, cfg)
				plan := planned(t, cfg, Card{Name: "card", Type: gpu.CPU, Memory: real.Budget, Limits: limits})
				// Staging is left out: how many uploads wait depends on the device's pace.
				peak := plan.Peak - plan.Roles[gpu.RoleStaging].AtPeak
				if d := float64(peak)/float64(real.Peak-real.Roles[gpu.RoleStaging].AtPeak) - 1; d < -0.05 || d > 0.05 {
					t.Errorf("planned %d bytes, measured %d: %+.1f %%\n%v\n%v", plan.Peak, real.Peak, 100*d, plan.Roles, real.Roles)
				}
			})
		}
	}
}

// A plan holds also where the kernels of products are chosen by measurement, from an empty cache and
// from a full one: a measurement takes little beside the run, and the plan has the largest kernel's scratch.
func TestPlanIsMeasuredWithAutotune(t *testing.T) {
	traintest.RequireAdapter(t)
	cache := t.TempDir()
	for _, cached := range []bool{false, true} {
		cfg := load(t, "../../examples/names8/run.toml", "device.cache_dir="+cache, "batch.rows=8", "batch.seq_len=96", "data.max_len=96")
		real, limits := measured(t, cfg)
		plan := planned(t, cfg, Card{Name: "card", Type: gpu.CPU, Memory: real.Budget, Limits: limits})
		d := float64(plan.Peak)/float64(real.Peak) - 1 // with staging, which a measurement uses more of
		t.Logf("cached %v: planned %d bytes, measured %d: %+.1f %%", cached, plan.Peak, real.Peak, 100*d)
		if d < -0.05 || d > 0.05 {
			t.Errorf("cached %v: %v\n%v", cached, plan.Roles, real.Roles)
		}
	}
}

// A plan takes the variant of products that the run file names, without room for others, and refuses one that there is not.
func TestPlanOfAVariant(t *testing.T) {
	peaks := map[string]int64{}
	for _, more := range []string{"device.autotune=false", "device.gemm=direct-16x4", "device.autotune=true"} {
		peaks[more] = planned(t, load(t, "../../examples/names8/run.toml", more), Card{Name: "card", Type: gpu.CPU, Memory: unbounded}).Peak
	}
	if forced := peaks["device.gemm=direct-16x4"]; forced > peaks["device.autotune=false"] || forced >= peaks["device.autotune=true"] {
		t.Errorf("%v", peaks)
	}
	_, err := NewPlanner(load(t, "../../examples/names8/run.toml", "device.gemm=fast"))
	if e := (*config.Error)(nil); !errors.As(err, &e) || !strings.Contains(e.Msg, "fast") || e.Fix == "" {
		t.Errorf("a variant that there is not: %v", err)
	}
}

// planned is the memory of cfg's run on a card, as On plans it, which also looks for the most rows that fit.
func planned(t *testing.T, cfg *config.Config, c Card) peak {
	t.Helper()
	p, err := NewPlanner(cfg)
	if err != nil {
		t.Fatal(err)
	}
	m, err := p.try(c, cfg.Batch.Rows)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// measured trains as cfg says and returns the device's memory and limits.
func measured(t *testing.T, cfg *config.Config) (gpu.Memory, gpu.Limits) {
	t.Helper()
	trainer, err := Open(cfg, io.Discard)
	if err != nil {
		t.Fatal(err)
	}
	defer trainer.Close()
	p := &Planner{cfg: cfg, corpus: trainer.corpus}
	m, err := p.work(trainer)
	if err != nil {
		t.Fatal(err)
	}
	return m, trainer.Device().Info().Limits
}

// TestPlanRefusals: a card that is too small is said to be, with the rows that would fit,
// and the largest batch that fits is the largest: one row more does not.
func TestPlanRefusals(t *testing.T) {
	cfg, err := config.Load(traintest.Run(t, nil), []string{`objective.method="pcgrad"`})
	if err != nil {
		t.Fatal(err)
	}
	p, err := NewPlanner(cfg)
	if err != nil {
		t.Fatal(err)
	}
	card := Card{Name: "card", Type: gpu.Discrete, Memory: 1 << 40}
	whole, err := p.On(card)
	if err != nil || !whole.Fits {
		t.Fatalf("%+v, %v", whole, err)
	}
	card.Memory = whole.Peak + whole.Peak/2
	more, err := p.On(card)
	if err != nil || !more.Fits || more.MostRows < more.Rows {
		t.Fatalf("%+v, %v", more, err)
	}
	if _, err := p.try(card, more.MostRows); err != nil {
		t.Errorf("the largest batch, %d rows: %v", more.MostRows, err)
	}
	if _, err := p.try(card, more.MostRows+1); err == nil {
		t.Errorf("%d rows fit too", more.MostRows+1)
	}
	card.Memory = whole.Peak / 2
	less, err := p.On(card)
	if err != nil || less.Fits || less.MostRows >= less.Rows || less.Peak <= card.Memory || less.Why == "" {
		t.Errorf("%+v, %v", less, err)
	}
}
