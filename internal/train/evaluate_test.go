package train

import (
	"context"
	"io"
	"math"
	"reflect"
	"testing"

	"concord/internal/data"
	"concord/internal/infer"
	"concord/internal/train/traintest"
)

// The figures of a run's closing table are those of eval on the saved model, and score
// adds up to them.
func TestEvalAndScoreAgreeWithTheClosingTable(t *testing.T) {
	cfg := tiny(t)
	sum, err := Run(context.Background(), cfg, UI{Out: io.Discard})
	if err != nil {
		t.Fatal(err)
	}
	before, err := Evaluate(context.Background(), cfg, "", UI{})
	if err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(before.Rows, sum.Before.Rows) {
		t.Errorf("before: eval says\n%+v, the run said\n%+v", before.Rows, sum.Before.Rows)
	}
	for _, dir := range []string{sum.Dir, sum.Model} {
		after, err := Evaluate(context.Background(), cfg, dir, UI{})
		if err != nil {
			t.Fatal(err)
		}
		after.Relate(&before)
		for i, got := range after.Rows {
			want := sum.After.Rows[i]
			if a, b := got.Change, want.Change; a == nil || b == nil || math.Abs(float64(a.Low-b.Low)) > 1e-6 ||
				math.Abs(float64(a.High-b.High)) > 1e-6 || !(a.Low < a.Value && a.Value < a.High) {
				t.Errorf("change of %s: eval says %+v, the run said %+v", got.Lang, a, b) // the run keeps its first evaluation as float32
			}
			got.Change, want.Change = nil, nil
			if !reflect.DeepEqual(got, want) {
				t.Errorf("after: eval of %s says\n%+v, the run said\n%+v", dir, got, want)
			}
		}
	}
	c, err := OpenCorpus(cfg)
	if err != nil {
		t.Fatal(err)
	}
	for i, set := range c.Sets {
		var ids [][]uint32
		var held []data.Example
		for k := range set.Heldout.Len() {
			e, err := set.Heldout.At(k)
			if err != nil {
				t.Fatal(err)
			}
			held, ids = append(held, e), append(ids, e.IDs)
		}
		nll, err := infer.Score(sum.Model, ids, DeviceOptions(cfg.Device, io.Discard))
		if err != nil {
			t.Fatal(err)
		}
		total := 0.0
		for k, e := range held {
			for j, v := range nll[k] {
				if e.Mask[j+1] {
					total += float64(v)
				}
			}
		}
		if want := float64(sum.After.Rows[i].NLL); math.Abs(total-want) > 1e-4*want {
			t.Errorf("%s: score adds up to %v nats, eval to %v", set.Lang, total, want)
		}
	}
}

// A model that was better on the way than at the end is kept beside the last.
func TestBestModel(t *testing.T) {
	cfg := tiny(t, "optim.lr=0.2", "optim.clip=0.0", "schedule.kind=constant", "schedule.warmup=0", "schedule.steps=12",
		"eval.every=3", "checkpoint.every=1", "checkpoint.keep=1")
	sum, err := Run(context.Background(), cfg, UI{Out: io.Discard})
	if err != nil {
		t.Fatal(err)
	}
	best, at := math.Inf(1), 0.0
	var rows []any
	for _, r := range traintest.Records(t, sum.Dir) {
		if r["kind"] != "eval" || r["step"] == 0.0 {
			continue
		}
		mean := 0.0
		for _, l := range r["rows"].([]any) {
			if l := l.(map[string]any); l["seen"] == true {
				mean += l["bits_per_byte"].(float64) / float64(len(traintest.Langs))
			}
		}
		if mean < best {
			best, at, rows = mean, r["step"].(float64), r["rows"].([]any)
		}
	}
	if at == 12 {
		t.Fatalf("the last model is the best one (%v): the fixture does not test this", best)
	}
	if sum.End.Best == "" {
		t.Fatalf("the model of step %v was better (%v), but is not kept", at, best)
	}
	if x, err := (Export{Checkpoint: "best"}).Write(sum.Dir); err != nil || float64(x.Step) != at {
		t.Errorf("exported as the best: %+v, %v", x, err)
	}
	e, err := Evaluate(context.Background(), cfg, sum.End.Best, UI{})
	if err != nil {
		t.Fatal(err)
	}
	for i, r := range e.Rows {
		if want := rows[i].(map[string]any)["nll"]; float64(r.NLL) != want {
			t.Errorf("%s: the best model has %v nats, at step %v it had %v", r.Lang, r.NLL, at, want)
		}
	}
}
