package train

import (
	"bytes"
	"errors"
	"io"
	"slices"
	"strings"
	"testing"

	"concord/bucket"
	"concord/gpu"
	"concord/internal/config"
	"concord/internal/train/traintest"
)

// memory.fit = "auto" leaves a run as it is where it fits, takes the first change that
// makes it fit where it does not, says which, keeps what the run file says, and refuses
// with figures where nothing helps.
func TestFit(t *testing.T) {
	cfg := load(t, traintest.Run(t, nil), `memory.fit="auto"`, "objective.gram=rows", "batch.logits_chunk=96", "batch.rows=48")
	c, err := OpenCorpus(cfg)
	if err != nil {
		t.Fatal(err)
	}
	peak := func(c2 *config.Config) int64 {
		m, err := (&Planner{cfg: c2, corpus: c}).try(Card{Name: "card", Type: gpu.CPU, Memory: unbounded}, c2.Batch.Rows)
		if err != nil {
			t.Fatal(err)
		}
		return m.Peak
	}
	as := *cfg
	whole := peak(&as)
	with := *cfg
	with.Memory.Checkpointing = true
	least := peak(&with)
	if least >= whole {
		t.Fatalf("%d bytes, with checkpointing %d", whole, least)
	}
	on := func(cfg *config.Config, budget int64) (*config.Config, string, error) {
		var said bytes.Buffer
		got, err := fitOn(cfg, c, Card{Name: "card", Type: gpu.CPU, Memory: budget * 100 / 95}, &said)
		return got, said.String(), err
	}
	got, said, err := on(cfg, whole+1024)
	if err != nil || got.Memory.Checkpointing || got.Batch.Rows != cfg.Batch.Rows || !strings.Contains(said, "fits as it is") {
		t.Errorf("%v, %q, %+v", err, said, got)
	}
	once := load(t, cfg.Path(), `memory.fit="auto"`, "objective.gram=rows", "batch.logits_chunk=96", "batch.rows=48", "batch.accumulate=1")
	got, said, err = on(once, least+1024)
	if err != nil || !got.Memory.Checkpointing || got.Memory.Fit != config.FitOff || !strings.Contains(said, "memory.checkpointing = true") {
		t.Errorf("%v, %q, %+v", err, said, got)
	}
	// Micro-batches would be the first to make it fit, and an update in the backward pass takes none.
	inBackward := load(t, cfg.Path(), `memory.fit="auto"`, "objective.gram=rows", "batch.logits_chunk=96", "batch.rows=48",
		"optim.in_backward=true")
	as = *inBackward
	got, said, err = on(inBackward, peak(&as)*9/10)
	if err != nil || got.Batch.Accumulate != 1 || !got.Memory.Checkpointing {
		t.Errorf("in the backward pass: %v, %q, %+v", err, said, got)
	}
	if _, _, err = on(once, least/2); !errors.Is(err, gpu.ErrOutOfMemory) || !strings.Contains(err.Error(), "at least") {
		t.Errorf("half of it: %v", err)
	}
}

// A run that was made to fit takes the same steps as one that was told to, and records
// the choice.
func TestFitRun(t *testing.T) {
	settings := []string{"objective.gram=rows", "batch.logits_chunk=96", "batch.rows=48", "batch.accumulate=1"}
	cfg := tiny(t, append(slices.Clone(settings), `memory.fit="auto"`)...)
	told := open(t, load(t, cfg.Path(), append(slices.Clone(settings), "memory.checkpointing=true")...))
	steps(t, told, 2)
	cfg.Device.Memory = config.Size(told.Memory().Peak * 100 / 95)
	fitted := open(t, cfg)
	steps(t, fitted, 2)
	if !fitted.cfg.Memory.Checkpointing || fitted.cfg.Memory.Fit != config.FitOff {
		t.Errorf("chosen: %+v", fitted.cfg.Memory)
	}
	if !slices.Equal(values(t, fitted, bucket.Weight), values(t, told, bucket.Weight)) {
		t.Error("other weights")
	}
	if _, e, err := fit(cfg, fitted.corpus, io.Discard); err != nil || e == nil { // the run goes on with the device that was asked
		t.Errorf("no device, %v", err)
	} else {
		e.Dev.Close()
	}
	if _, e, err := fit(told.cfg, fitted.corpus, io.Discard); err != nil || e != nil {
		t.Errorf("a device for a run that is not to be fitted, %v", err)
	}
}

// What the run has already is no variant of it.
func TestVariants(t *testing.T) {
	p, err := NewPlanner(load(t, traintest.Run(t, nil), "adapter.kind=lora", "adapter.rank=4", "model.base_type=nf4",
		"memory.checkpointing=true"))
	if err != nil {
		t.Fatal(err)
	}
	all, err := p.Variants(gpu.Discrete)
	if err != nil || len(all) != 2 || len(all[0].Lines) != 0 || len(all[1].Lines) != 2 {
		t.Errorf("of a run that has an adapter, a type of its base and checkpointing: %v, %v", all, err)
	}
}

// The plan's variants take less, and none is a run that is refused.
func TestVariantsTakeLess(t *testing.T) {
	p, err := NewPlanner(load(t, traintest.Run(t, nil), "probe.every=1"))
	if err != nil {
		t.Fatal(err)
	}
	all, err := p.Variants(gpu.Discrete)
	if err != nil {
		t.Fatal(err)
	}
	peak := map[string]int64{}
	for _, v := range all {
		peak[strings.Join(v.Lines, ", ")] = v.Peak
	}
	if len(peak) != 6 {
		t.Errorf("variants: %v", all)
	}
	for lines, n := range peak {
		if lines != "" && n >= peak[""] {
			t.Errorf("%s: %d bytes, %d as it is", lines, n, peak[""])
		}
	}
}
