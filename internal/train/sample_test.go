package train

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"math"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"concord/internal/config"
	"concord/internal/report"
	"concord/internal/rundir"
	"concord/internal/train/traintest"
)

// held is the fixture's run with so many held-out documents of each language.
func held(t testing.TB, n int, overrides ...string) *config.Config {
	t.Helper()
	cfg := tiny(t, overrides...)
	for i, lang := range append(slices.Clone(traintest.Langs), traintest.Unseen) {
		traintest.WriteFile(t, filepath.Join(filepath.Dir(cfg.Path()), lang+".heldout.jsonl"), traintest.Examples(i, 18, 18+n))
	}
	return cfg
}

// evaluations are the eval records of a run.
func evaluations(t testing.TB, dir string) (out []report.Eval) {
	t.Helper()
	b, err := os.ReadFile(rundir.Metrics(dir))
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(b)) {
		var e report.Eval
		if json.Unmarshal([]byte(line), &e) == nil && e.Kind == "eval" {
			out = append(out, e)
		}
	}
	return out
}

// measuredBytes are the bytes of the measured documents, language by language.
func measuredBytes(e *report.Eval) (out []int) {
	for _, r := range e.Rows {
		out = append(out, r.Bytes)
	}
	return out
}

// eval.rows measures the same random examples at every evaluation and for every seed of the run,
// and says how many of how many.
func TestSampledRows(t *testing.T) {
	var first *report.Eval
	for _, seed := range []string{"3", "4"} {
		cfg := held(t, 60, "eval.rows=25", "run.seed="+seed, "schedule.steps=4", "eval.every=2")
		var screen strings.Builder
		sum, err := Run(t.Context(), cfg, UI{Out: &screen})
		if err != nil {
			t.Fatal(err)
		}
		all := evaluations(t, sum.Dir)
		for _, e := range all {
			for i, r := range e.Rows {
				if r.Examples != 25 || r.Heldout != 60 || r.Bytes != all[0].Rows[i].Bytes || e.Step > 0 && r.Change == nil {
					t.Errorf("step %d, %s: %d of %d documents, %d bytes; change %v", e.Step, r.Lang, r.Examples, r.Heldout, r.Bytes, r.Change)
				}
			}
		}
		if len(all) != 3 {
			t.Errorf("%d evaluations", len(all))
		}
		for _, want := range []string{"75 of 180 documents", "25 of 60", " ± ", "a random sample"} {
			if !strings.Contains(screen.String(), want) {
				t.Errorf("the screen lacks %q:\n%s", want, screen.String())
			}
		}
		if first == nil {
			first = sum.Before
		} else if !reflect.DeepEqual(measuredBytes(first), measuredBytes(sum.Before)) || first.Rows[0].NLL != sum.Before.Rows[0].NLL {
			t.Error("another seed of the run measures other documents")
		}
		other, err := Evaluate(t.Context(), load(t, cfg.Path(), "eval.rows=25", "eval.seed=2"), "", UI{})
		if err != nil || reflect.DeepEqual(measuredBytes(&other), measuredBytes(first)) {
			t.Errorf("eval.seed = 2 measures the same documents: %v", err)
		}
	}
}

// eval.error takes as many examples as the error asks for, says so, and keeps them for the
// run; eval comes to the same ones, and a second model is measured on those of the first.
func TestSampledToAnError(t *testing.T) {
	const want = 0.09
	cfg := held(t, 900, "eval.error=0.09", "schedule.steps=2", "eval.every=1")
	var screen strings.Builder
	sum, err := Run(t.Context(), cfg, UI{Out: &screen})
	if err != nil {
		t.Fatal(err)
	}
	full, err := Evaluate(t.Context(), load(t, cfg.Path()), "", UI{})
	if err != nil {
		t.Fatal(err)
	}
	fewer := 0
	for i, r := range sum.Before.Rows {
		t.Logf("%s: %d of %d, %.3f ± %.3f; all: %.3f", r.Lang, r.Examples, r.Heldout, r.BitsPerByte, r.Interval.Half(), full.Rows[i].BitsPerByte)
		if r.Interval.Half() > want && r.Examples < r.Heldout || r.Examples < pilot || r.Heldout != 900 {
			t.Errorf("%s: ± %v of %d of %d documents", r.Lang, r.Interval.Half(), r.Examples, r.Heldout)
		}
		if d := math.Abs(float64(r.BitsPerByte - full.Rows[i].BitsPerByte)); d > 1.5*want {
			t.Errorf("%s: %v from the figure of all documents", r.Lang, d)
		}
		if r.Examples > pilot && r.Examples < r.Heldout {
			fewer++
		}
	}
	if fewer == 0 {
		t.Error("no language needs more than the pilot and less than all: the fixture does not test this")
	}
	if n := strings.Count(screen.String(), "eval.error = 0.09: every evaluation measures the same"); n != 1 {
		t.Errorf("said %d times:\n%s", n, screen.String())
	}
	for _, e := range evaluations(t, sum.Dir) {
		if !reflect.DeepEqual(measuredBytes(&e), measuredBytes(sum.Before)) {
			t.Errorf("step %d measures other documents", e.Step)
		}
	}
	again, err := Evaluate(t.Context(), cfg, "", UI{})
	if err != nil || again.Rows[0].NLL != sum.Before.Rows[0].NLL || !reflect.DeepEqual(measuredBytes(&again), measuredBytes(sum.Before)) {
		t.Errorf("eval: %v, %+v", err, again.Rows)
	}
	tuned, err := EvaluateLike(t.Context(), cfg, sum.Model, &again, UI{})
	if err != nil || !reflect.DeepEqual(measuredBytes(&tuned), measuredBytes(&again)) {
		t.Errorf("a second model is measured on other documents: %v", err)
	}
}

// An error that the held-out examples cannot give is said with a fix, also where eval.rows is the
// bound.
func TestErrorOutOfReach(t *testing.T) {
	for rows, fix := range map[string]string{"0": "a larger holdout in [[data.source]]", "70": "rows = 80 in [eval]"} {
		var screen strings.Builder
		e, err := Evaluate(t.Context(), held(t, 80, "eval.error=0.001", "eval.rows="+rows), "", UI{Warn: &screen})
		if err != nil {
			t.Fatal(err)
		}
		for _, r := range e.Rows {
			if n := atMost(e.Rows[0].Examples, 80); r.Examples != n || rows == "70" && n != 70 || rows == "0" && n != 80 {
				t.Errorf("rows %s: %d measured", rows, r.Examples)
			}
		}
		if text := screen.String(); !strings.Contains(text, "eval.error asks for ± 0.001") || !strings.Contains(text, fix) ||
			strings.Contains(text, "\nbb:") || !strings.Contains(text, "\n         bb:") {
			t.Errorf("rows %s: not said:\n%s", rows, text)
		}
	}
}

// The sample is a part of a checkpoint: a run that is stopped before, between and after its
// evaluations comes to the same bits.
func TestSampleResumesExactly(t *testing.T) {
	settings := []string{"eval.error=0.2", "eval.every=2", "eval.first=false", "schedule.steps=5"}
	calm := held(t, 200, settings...)
	if _, err := Run(t.Context(), calm, UI{Out: io.Discard}); err != nil {
		t.Fatal(err)
	}
	broken := held(t, 200, settings...)
	out, err := until("step 1/", running(broken))
	for k := 2; errors.Is(err, ErrInterrupted) && k < 9; k++ {
		at := "step " + string(rune('0'+k)) + "/"
		out, err = until(at, func(ctx context.Context, ui UI) error { _, err := Resume(ctx, broken.OutDir(), nil, ui); return err })
	}
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	if d := traintest.OutcomeOf(t, calm.OutDir()).Differ(traintest.OutcomeOf(t, broken.OutDir())); d != "" {
		t.Error(d)
	}
	a, b := evaluations(t, calm.OutDir()), evaluations(t, broken.OutDir())
	for i := range a {
		if i >= len(b) || !reflect.DeepEqual(a[i].Rows, b[i].Rows) {
			t.Errorf("evaluation %d differs", i)
		}
		if n := a[i].Rows[0].Examples; n != a[0].Rows[0].Examples || n >= 200 || n < pilot {
			t.Errorf("evaluation %d measures %d", i, n)
		}
	}
}

// A run of a version without samples goes on with the first examples of its files; a
// machine that takes over finds the sample on record.
func TestSampleOfEarlierProcesses(t *testing.T) {
	cfg := held(t, 100, "eval.rows=10")
	tr := open(t, cfg)
	old := state{Last: &report.Eval{Step: 3}}
	if err := tr.sample(&old, ""); err != nil || old.Sample == nil || !old.Sample.Foremost {
		t.Fatalf("%v, %+v", err, old.Sample)
	}
	v, err := newEvaluator(tr.corpus, cfg, old.Sample)
	if err != nil {
		t.Fatal(err)
	}
	all := tr.corpus.Sets[0].Heldout
	got, want := old.Sample.of(0, all), 0
	for i := range got.Len() {
		x, err := got.At(i)
		y, err2 := all.At(i)
		if err := errors.Join(err, err2); err != nil || !slices.Equal(x.IDs, y.IDs) {
			t.Errorf("example %d is another: %v", i, err)
		}
		want++
	}
	if want != 10 || v.count[0] != 10 {
		t.Errorf("%d and %d examples", want, v.count[0])
	}

	cfg.Eval.Rows, cfg.Eval.Error = 0, 0.1
	tr.leads = func() error { return nil }
	path := filepath.Join(t.TempDir(), "metrics.jsonl")
	traintest.WriteFile(t, path, `{"kind":"eval","step":0,"rows":[{"lang":"aa","examples":70,"heldout":100},`+
		`{"lang":"bb","examples":100,"heldout":100}]}`+"\n"+`{"kind":"step","step":1}`+"\n")
	var s state
	if err := tr.sample(&s, path); err != nil || s.Sample == nil || !slices.Equal(s.Sample.Counts, []int{70, 0}) || s.Sample.Foremost {
		t.Errorf("%v, %+v", err, s.Sample)
	}
	s = state{}
	if err := tr.sample(&s, filepath.Join(t.TempDir(), "none")); err != nil || s.Sample != nil {
		t.Errorf("nothing on record: %v, %+v", err, s.Sample)
	}
}

// What a number of examples is measured on for a study is the base model.
func TestSampleSize(t *testing.T) {
	cfg := held(t, 300, "eval.error=0.15")
	n, err := sampleSize(t.Context(), cfg, UI{})
	if err != nil || n < pilot || n >= 300 {
		t.Errorf("%d, %v", n, err)
	}
	if _, err := sampleSize(t.Context(), load(t, cfg.Path(), "eval.error=0.15", "model.init=random"), UI{}); err == nil ||
		!strings.Contains(err.Error(), "eval.error") {
		t.Errorf("random weights: %v", err)
	}
}
