package compare

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"sync"
	"testing"

	"concord/internal/config"
	"concord/internal/fault"
	"concord/internal/rundir"
	"concord/internal/train"
	"concord/internal/train/traintest"
)

// tinyGrid is two methods, a tuned baseline and two seeds.
func tinyGrid() Grid {
	return Grid{Methods: []string{"mean", "pcgrad"}, Scopes: []train.Scope{train.ScopeLayer}, LRs: []float64{1e-2}, StaticSweep: true,
		StaticBudget: 2, Seeds: 2}
}

// tinyRun is a run file of three steps.
func tinyRun(t *testing.T) string {
	t.Helper()
	traintest.RequireAdapter(t)
	return traintest.Run(t, map[string]string{"schedule": "steps = 3", "checkpoint": "every = 0", "eval": "every = 1"})
}

// compared runs a comparison to wherever it gets.
func compared(ctx context.Context, runFile, out string, g Grid, overrides ...string) (*Report, string, error) {
	var screen bytes.Buffer
	run, err := loaded(runFile, overrides...)
	if err != nil {
		return nil, "", err
	}
	rep, err := Run(ctx, Options{Run: run, Grid: g, Out: out, Command: "concord compare"}, train.UI{Out: &screen, Warn: &screen})
	return rep, screen.String(), err
}

// loaded is a run file with overrides.
func loaded(runFile string, overrides ...string) (train.Varied, error) {
	cfg, err := config.Load(runFile, overrides)
	if err != nil {
		return train.Varied{}, err
	}
	return train.Vary(cfg), nil
}

// countdown is a context that is cancelled when it has been asked so often
// whether it is: runs ask once a step.
type countdown struct {
	context.Context
	mu   sync.Mutex
	left int
}

func (c *countdown) Err() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.left--; c.left < 0 {
		return context.Canceled
	}
	return nil
}

// A comparison that is stopped again and again, between runs and in the middle
// of one, comes to the same report as one that was left alone, and only what is
// needed remains of the runs. No run ends early, and the screen says so.
func TestInterrupted(t *testing.T) {
	runFile := tinyRun(t)
	calm, broken := filepath.Join(t.TempDir(), "calm"), filepath.Join(t.TempDir(), "broken")
	want, screen, err := compared(t.Context(), runFile, calm, tinyGrid(), "eval.patience=1")
	if err != nil {
		t.Fatal(err)
	}
	if says := "-o eval.patience: eval.patience = 1 ends no run of this comparison"; strings.Count(screen, says) != 1 {
		t.Errorf("%q is not on the screen once:\n%s", says, screen)
	}
	if want.Finished < 5+2*3 || want.Finished != want.Planned || len(want.Problems) > 0 || len(want.Failures) > 0 ||
		!strings.Contains(screen, fmt.Sprintf("run %d/%[1]d", want.Finished)) || !strings.Contains(screen, "ETA") {
		t.Errorf("%d runs finished, problems %q, failures %v\n%s", want.Finished, want.Problems, want.Failures, screen)
	}
	processes := 0
	for ; ; processes++ {
		rep, _, err := compared(&countdown{Context: t.Context(), left: 2 + processes%4}, runFile, broken, tinyGrid(), "eval.patience=1")
		if err == nil {
			break
		}
		if !errors.Is(err, train.ErrInterrupted) || rep == nil || !strings.Contains(rep.Verdict[0], "Not finished") {
			t.Fatalf("process %d: %v", processes, err)
		}
		if processes > 60 {
			t.Fatal("it makes no progress")
		}
	}
	if t.Logf("stopped %d times", processes); processes < 8 {
		t.Error("not stopped often enough to mean anything")
	}
	if d := differing(timeless(t, calm), timeless(t, broken)); d != "" {
		t.Errorf("reports differ:\n%s", d)
	}
	left, err := filepath.Glob(filepath.Join(broken, "runs", "*", "*"))
	if err != nil || len(left) != 3*want.Finished {
		t.Errorf("left behind: %v %v", left, err)
	}
}

// timeless is report.json in dir without what is measured of the machine.
func timeless(t *testing.T, dir string) string {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(dir, "report.json"))
	if err != nil {
		t.Fatal(err)
	}
	var v any
	if err := json.Unmarshal(b, &v); err != nil {
		t.Fatal(err)
	}
	var clean func(any)
	clean = func(v any) {
		switch x := v.(type) {
		case map[string]any:
			delete(x, "seconds")
			delete(x, "step_seconds")
			delete(x, "peak_bytes") // restoring a checkpoint takes staging buffers
			for _, e := range x {
				clean(e)
			}
		case []any:
			for _, e := range x {
				clean(e)
			}
		}
	}
	clean(v)
	out, err := json.MarshalIndent(v, "", " ")
	if err != nil {
		t.Fatal(err)
	}
	return string(out)
}

// differing are the first lines that two texts do not share, "" if there are none.
func differing(a, b string) string {
	x, y := strings.Split(a, "\n"), strings.Split(b, "\n")
	var out []string
	for i := range max(len(x), len(y)) {
		if i >= len(x) || i >= len(y) {
			return strings.Join(append(out, "one is longer"), "\n")
		}
		if x[i] != y[i] && len(out) < 20 {
			out = append(out, fmt.Sprintf("line %d: %s | %s", i+1, x[i], y[i]))
		}
	}
	return strings.Join(out, "\n")
}

// What the report says of the runs is what the runs did.
func TestReal(t *testing.T) {
	runFile := tinyRun(t)
	out := t.TempDir()
	rep, _, err := compared(t.Context(), runFile, out, tinyGrid())
	if err != nil {
		t.Fatal(err)
	}
	if rep.Reference != familyTuned || len(rep.Families) != 4 {
		t.Fatalf("reference %q, %d families", rep.Reference, len(rep.Families))
	}
	for i, name := range []string{familyMean, familyPlain, familyTuned, "pcgrad layer"} {
		f := rep.Families[i]
		if f.Name != name || len(f.Seeds) != 2 || f.Seen.N != 2 || f.PeakBytes <= 0 || f.StepSeconds <= 0 || len(f.Languages) != 4 ||
			len(f.Curve) != 3 {
			t.Errorf("family %+v", f)
		}
	}
	if f := rep.Families[2]; f.Candidates != 4 {
		t.Errorf("tuned scalarisation has %d candidates, want mean, token-mean and two", f.Candidates)
	}
	for _, r := range rep.Runs {
		if len(r.Valid) != 4 || len(r.Test) != 4 || r.Valid[0].Examples != 3 || r.Test[0].Examples != 3 || !r.Test[0].Seen || r.Test[3].Seen {
			t.Errorf("%s: %+v %+v", r.Slug, r.Valid, r.Test)
		}
		if r.Weights.Kind == byDifficulty && len(r.Applied) != 3 {
			t.Errorf("%s: weights %v", r.Slug, r.Applied)
		}
		if (r.Pairs > 0) != (r.Method == "pcgrad") {
			t.Errorf("%s: %d pairs", r.Slug, r.Pairs)
		}
	}
	for _, name := range []string{"report.md", "report.html", "report.csv", "report.json"} {
		b, err := os.ReadFile(filepath.Join(out, name))
		if err != nil || strings.Contains(string(b), "NaN") || strings.Contains(string(b), "Inf") || !strings.Contains(string(b), "pcgrad") {
			t.Errorf("%s: %v\n%s", name, err, b)
		}
	}
}

// A grid may grow; the runs that are there stay as they are. What they were
// made with may not change.
func TestExtend(t *testing.T) {
	runFile, out := tinyRun(t), t.TempDir()
	small := Grid{Methods: []string{"mean"}, Scopes: []train.Scope{train.ScopeLayer}, LRs: []float64{1e-2}, Seeds: 1}
	if _, _, err := compared(t.Context(), runFile, out, small); err != nil {
		t.Fatal(err)
	}
	first, err := os.ReadFile(filepath.Join(out, "runs", "mean-t1-lr0.01-s3", resultFile))
	if err != nil {
		t.Fatal(err)
	}
	more := Grid{Methods: []string{"pcgrad"}, Scopes: []train.Scope{"tensor"}, Seeds: 2, LRs: []float64{5e-3},
		Temperatures: []float64{1, 5}}
	rep, screen, err := compared(t.Context(), runFile, out, more)
	if err != nil {
		t.Fatal(err)
	}
	tuned := 3 * 2 * 2 // methods, rates, temperatures
	if rep.Finished < tuned+2*3 || rep.Finished != rep.Planned || !strings.Contains(screen, " runs are done") || len(rep.Problems) > 0 {
		t.Errorf("%d runs of %d, problems %v\n%s", rep.Finished, rep.Planned, rep.Problems, screen)
	}
	again, err := os.ReadFile(filepath.Join(out, "runs", "mean-t1-lr0.01-s3", resultFile))
	if err != nil || !bytes.Equal(first, again) {
		t.Errorf("the first run was made again: %v", err)
	}
	for _, o := range []struct{ override, says string }{
		{"schedule.steps=4", "schedule.steps was 3 and is 4"}, {"run.seed=8", "run.seed was 3 and is 8"}, {"optim.clip=2", "optim.clip was 1 and is 2"},
	} {
		if _, _, err := compared(t.Context(), runFile, out, small, o.override); !fault.IsUsage(err) || !strings.Contains(err.Error(), o.says) {
			t.Errorf("%s: %v", o.override, err)
		}
	}
	if again, _, err := compared(t.Context(), runFile, out, small, "log.every=7"); err != nil || again.Finished != rep.Finished {
		t.Errorf("a setting that changes nothing: %v", err)
	}
	olderThan(t, filepath.Join(out, lockFile), `"optim.in_backward": false,`) // the setting is newer than the folder
	if again, _, err := compared(t.Context(), runFile, out, small); err != nil || again.Finished != rep.Finished {
		t.Errorf("a setting that the folder does not know yet: %v", err)
	}
	olderThan(t, filepath.Join(out, lockFile), `"optim.in_backward": false,`)
	if _, _, err := compared(t.Context(), runFile, out, small, "optim.in_backward=true"); !fault.IsUsage(err) ||
		!strings.Contains(err.Error(), "optim.in_backward was false and is true") {
		t.Errorf("such a setting at another value: %v", err)
	}
	traintest.WriteFile(t, filepath.Join(filepath.Dir(runFile), "bb.jsonl"), traintest.Examples(1, 0, 17))
	if _, _, err := compared(t.Context(), runFile, out, small); err == nil || !strings.Contains(err.Error(), "bb.jsonl has changed") {
		t.Errorf("changed data: %v", err)
	}
}

// olderThan takes a setting out of a file that pins settings.
func olderThan(t *testing.T, path, setting string) {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if n := strings.Count(string(b), setting); n != 1 {
		t.Fatalf("%s has %d times %s", path, n, setting)
	}
	traintest.WriteFile(t, path, strings.Replace(string(b), setting, "", 1))
}

// A run that fails is recorded with its reason, the others go on, and it is not
// tried again.
func TestFailing(t *testing.T) {
	runFile, out := tinyRun(t), t.TempDir()
	g := Grid{Methods: []string{"mean"}, LRs: []float64{1e-2, 1e3}, Seeds: 1}
	rep, screen, err := compared(t.Context(), runFile, out, g, "optim.clip=0", "schedule.steps=40", "schedule.warmup=0",
		"optim.weight_decay=100")
	if err != nil {
		t.Fatal(err)
	}
	if rep.Finished != 4 || len(rep.Failures) != 2 || rep.Failures[0].Cause != "diverged" || !strings.Contains(screen, "failed: ") {
		t.Fatalf("%d finished, failures %+v\n%s", rep.Finished, rep.Failures, screen)
	}
	md, err := os.ReadFile(filepath.Join(out, "report.md"))
	if err != nil || !strings.Contains(string(md), "## Failures") || !strings.Contains(string(md), rep.Failures[0].Slug) {
		t.Errorf("%v\n%s", err, md)
	}
	_, screen, err = compared(t.Context(), runFile, out, g, "optim.clip=0", "schedule.steps=40", "schedule.warmup=0", "optim.weight_decay=100")
	if err != nil || !strings.Contains(screen, "6 of 6 runs are done") {
		t.Errorf("%v\n%s", err, screen)
	}
}

// Two processes do not write to one comparison.
func TestOccupied(t *testing.T) {
	runFile, out := tinyRun(t), t.TempDir()
	release, err := rundir.Occupy(out, io.Discard)
	if err != nil {
		t.Fatal(err)
	}
	defer release()
	if _, _, err := compared(t.Context(), runFile, out, tinyGrid()); !errors.Is(err, train.ErrData) ||
		!strings.Contains(err.Error(), "is being written to by process") {
		t.Errorf("%v", err)
	}
}

// Several runs at one time come to the same as one after the other. Models are
// kept where they are wanted, optimizer states are not.
func TestJobs(t *testing.T) {
	runFile, one, two := tinyRun(t), t.TempDir(), t.TempDir()
	g := Grid{Methods: []string{"pcgrad"}, Scopes: []train.Scope{train.ScopeLayer}, LRs: []float64{1e-2}, Seeds: 1}
	if _, _, err := compared(t.Context(), runFile, one, g); err != nil {
		t.Fatal(err)
	}
	run, err := loaded(runFile)
	if err != nil {
		t.Fatal(err)
	}
	rep, err := Run(t.Context(), Options{Run: run, Grid: g, Out: two, Jobs: 2, KeepModels: true, Command: "concord compare"},
		train.UI{Quiet: true})
	if err != nil || rep.Finished != 6 {
		t.Fatal(err)
	}
	for dir, want := range map[string][2]int{one: {0, 0}, two: {6, 0}} {
		models, _ := filepath.Glob(filepath.Join(dir, "runs", "*", "model", "model.safetensors"))
		states, _ := filepath.Glob(filepath.Join(dir, "runs", "*", "checkpoints"))
		if len(models) != want[0] || len(states) != want[1] {
			t.Errorf("%d models and %d folders of checkpoints, want %v", len(models), len(states), want)
		}
	}
	if d := differing(timeless(t, one), strings.Replace(timeless(t, two), `"jobs": 2`, `"jobs": 1`, 1)); d != "" {
		t.Errorf("reports differ:\n%s", d)
	}
}

// Mistakes are found before anything runs.
func TestMistakes(t *testing.T) {
	runFile := tinyRun(t)
	ok := Grid{Methods: []string{"mean"}, Scopes: []train.Scope{train.ScopeLayer}, Seeds: 1}
	for name, c := range map[string]struct {
		change    func(*Grid)
		overrides []string
		says      string
	}{
		"method":  {func(g *Grid) { g.Methods = []string{"meen"} }, nil, `"meen" is not one of`},
		"seeds":   {func(g *Grid) { g.Seeds = 0 }, nil, "--seeds 0"},
		"tune":    {func(g *Grid) { g.TuneSeeds = -1 }, nil, "--tune-seeds -1"},
		"margin":  {func(g *Grid) { g.Margin = -1 }, nil, "--margin"},
		"control": {func(g *Grid) { g.Methods, g.Controls = []string{"pcgrad"}, []string{"length"} }, nil, "--controls"},
		"options": {func(g *Grid) { g.Options = []string{"cagrad.c=1"} }, nil, "--options"},
		"value":   {func(g *Grid) { g.Methods, g.Options = []string{"cagrad"}, []string{"cagrad.c=x"} }, nil, `want a number, got "x"`},
		"budget":  {func(g *Grid) { g.StaticBudget = 3 }, nil, "--static-sweep"},
		"lr":      {func(g *Grid) { g.LRs = []float64{-1} }, nil, "--lrs"},
		"heat":    {func(g *Grid) { g.Temperatures = []float64{0} }, nil, "--temperatures"},
		"weights": {func(g *Grid) { g.Methods = []string{"static"} }, nil, "needs a weight"},
		"option":  {func(*Grid) {}, []string{"objective.options.zz=1"}, `has an option "zz"`},
		"case": {func(g *Grid) {
			g.Methods, g.Options = []string{"cagrad"}, []string{"cagrad.rescale=mean", "cagrad.rescale=Mean"}
		}, nil, "Mean"},
	} {
		t.Run(name, func(t *testing.T) {
			g, out := ok, t.TempDir()
			c.change(&g)
			_, _, err := compared(t.Context(), runFile, out, g, c.overrides...)
			var usage *UsageError
			if !fault.IsUsage(err) && !errors.As(err, &usage) || !strings.Contains(err.Error(), c.says) {
				t.Errorf("%v", err)
			}
			if _, err := os.Stat(filepath.Join(out, "runs")); err == nil {
				t.Error("something ran")
			}
		})
	}
}

// With seeds to tune on, the others' runs are only those of what was chosen, and
// an interruption in between changes nothing.
func TestTuneSeeds(t *testing.T) {
	runFile, calm, broken := tinyRun(t), t.TempDir(), t.TempDir()
	g := Grid{Methods: []string{"pcgrad"}, Scopes: []train.Scope{train.ScopeLayer}, Controls: []string{"norm"},
		LRs: []float64{1e-2, 1e-3}, Alone: true, Seeds: 1, TuneSeeds: 2}
	rep, screen, err := compared(t.Context(), runFile, calm, g)
	if err != nil {
		t.Fatal(err)
	}
	bySeed, alone := map[uint64]int{}, 0
	for _, r := range rep.Runs {
		bySeed[r.Seed]++
		if r.Only != "" {
			alone++
			if r.Steps != 1 || r.Tokens >= rep.Tokens {
				t.Errorf("%s: %d steps of %d tokens", r.Slug, r.Steps, r.Tokens)
			}
		}
	}
	tried := 2 * (4 + 3) // rates × (mean, token-mean, pcgrad and its norm; three languages alone)
	if bySeed[3] != tried || bySeed[4] != tried || bySeed[5] < 4+3 || alone < 2*2*3+3 || rep.Finished != rep.Planned ||
		!strings.Contains(screen, "will tell differences of") {
		t.Errorf("runs by seed %v, %d of %d\n%s", bySeed, rep.Finished, rep.Planned, screen)
	}
	for _, f := range rep.Families {
		if len(f.Seeds) != 1 || f.Seeds[0] != 5 || f.Chosen.LR != 1e-2 || !f.Edge {
			t.Errorf("%s: seeds %v of %v", f.Name, f.Seeds, f.Chosen)
		}
	}
	if len(rep.Alone) != 3 {
		t.Errorf("alone: %+v", rep.Alone)
	}
	for processes := 0; ; processes++ {
		if _, _, err := compared(&countdown{Context: t.Context(), left: 21}, runFile, broken, g); err == nil {
			break
		} else if !errors.Is(err, train.ErrInterrupted) || processes > 30 {
			t.Fatal(err)
		}
	}
	if d := differing(timeless(t, calm), timeless(t, broken)); d != "" {
		t.Errorf("reports differ:\n%s", d)
	}
}

// Another version of the program may write the report again, and not add runs.
func TestOtherVersion(t *testing.T) {
	l := &lock{Version: train.Version{Version: "abc"}}
	if err := l.sameVersion(train.Version{Version: "abc"}, "x", 3); err != nil {
		t.Error(err)
	}
	if err := l.sameVersion(train.Version{Version: "def"}, "x", 0); err != nil {
		t.Error(err)
	}
	if err := l.sameVersion(train.Version{Version: "def"}, "x", 3); !fault.IsUsage(err) ||
		!strings.Contains(err.Error(), "made by version abc") {
		t.Error(err)
	}
}

// eval.error is turned into a number of examples once, by the base model: every run, of any
// learning rate and seed, measures the same ones, and a call that goes on does not measure
// again.
func TestEvalError(t *testing.T) {
	runFile := tinyRun(t)
	for i, lang := range append(slices.Clone(traintest.Langs), traintest.Unseen) {
		traintest.WriteFile(t, filepath.Join(filepath.Dir(runFile), lang+".heldout.jsonl"), traintest.Examples(i, 18, 318))
	}
	out := filepath.Join(t.TempDir(), "out")
	grid := Grid{Methods: []string{"mean"}, Scopes: []train.Scope{train.ScopeLayer}, LRs: []float64{1e-2, 1e-3}, Seeds: 1}
	rep, screen, err := compared(t.Context(), runFile, out, grid, "eval.error=0.15")
	if err != nil {
		t.Fatal(err)
	}
	l, err := readLock(out)
	if err != nil || l.Examples < 64 || l.Examples >= 140 {
		t.Fatalf("%v: %d examples are pinned", err, l.Examples)
	}
	if want := fmt.Sprintf("every run measures at most %d held-out examples of each half", l.Examples); strings.Count(screen, want) != 1 {
		t.Errorf("%q is not on the screen once:\n%s", want, screen)
	}
	var first []Score
	runs, err := filepath.Glob(filepath.Join(out, "runs", "*"))
	if err != nil || len(runs) != rep.Finished || len(runs) < 3 {
		t.Fatalf("%v, %v", runs, err)
	}
	for _, dir := range runs {
		res, err := readResult(dir)
		if err != nil {
			t.Fatal(err)
		}
		for _, s := range append(res.Valid, res.Test...) {
			if s.Examples != l.Examples {
				t.Errorf("%s: %d examples of %s", dir, s.Examples, s.Lang)
			}
		}
		if first == nil {
			first = blank(res.Test)
		}
		if !reflect.DeepEqual(blank(res.Test), first) {
			t.Errorf("%s measured other examples", dir)
		}
	}
	l.Examples = 70 // were it measured again, this would change
	if err := l.write(out); err != nil {
		t.Fatal(err)
	}
	if _, screen, err = compared(t.Context(), runFile, out, grid, "eval.error=0.15"); err != nil || !strings.Contains(screen, "at most 70 ") {
		t.Errorf("%v\n%s", err, screen)
	}
}
