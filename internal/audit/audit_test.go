package audit

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"concord/internal/config"
	"concord/internal/fault"
	"concord/internal/report"
	"concord/internal/stats"
	"concord/internal/study"
	"concord/internal/train"
	"concord/internal/train/traintest"
)

// A language alone has as many rows in a step and in all as in the mixture, as near as
// whole rows come, and never more at one time than the run file allows.
func TestShapeOf(t *testing.T) {
	for _, c := range []struct {
		share                   float64
		rows, accumulate, steps int
		want                    shape
	}{
		{0.125, 16, 1, 100, shape{2, 1, 100}}, {0.5, 4, 3, 10, shape{3, 2, 10}}, {0.05, 8, 1, 100, shape{1, 1, 40}}, {0.3, 8, 1, 100, shape{2, 1, 120}}, {1, 4, 2, 7, shape{4, 2, 7}},
	} {
		if got := shapeOf(c.share, c.rows, c.accumulate, c.steps); got != c.want {
			t.Errorf("%+v: %+v", c, got)
		}
	}
}

func TestVerdictOf(t *testing.T) {
	d := func(mean, half float64, n int) stats.Difference {
		return stats.Difference{Mean: report.Float(mean), Lo: report.Float(mean - half), Hi: report.Float(mean + half), N: n}
	}
	for _, c := range []struct {
		d    stats.Difference
		want Verdict
	}{
		{d(0.05, 0.01, 3), Hurt}, {d(-0.05, 0.01, 3), Helped}, {d(0.002, 0.004, 3), Even}, {d(0.02, 0.03, 3), Open}, {d(0.05, 0.01, 2), Unknown},
		{d(0.009, 0.002, 3), Open}, // real, but below the margin and not surely within it
		{d(math.NaN(), math.NaN(), 3), Open},
	} {
		if got := verdictOf(c.d, 0.01); got != c.want {
			t.Errorf("%v: %s, want %s", c.d, got, c.want)
		}
	}
}

// Products of two buckets add up, the noise of a gradient's product with itself is taken
// out, and what lies within its errors is not clear.
func TestTransfer(t *testing.T) {
	f := func(x ...float64) (out []report.Float) {
		for _, v := range x {
			out = append(out, report.Float(v))
		}
		return out
	}
	gram := func(step int, noise float64) report.Gram {
		return report.Gram{Step: step, Buckets: []report.GramBucket{
			{Name: "layer 0", G: f(4, -2+noise, 4), SelfCosine: f(1, 1), Contrast: f(0, 0.1, 0.1, 0)},
			{Name: "layer 1", G: f(8, 1, 4), SelfCosine: f(1.0/3, 1), Contrast: f(0, 0, 0, 0)}, // 8 is twice the signal
		}}
	}
	a := &audit{base: train.Vary(config.Default()), lr: 1, results: map[string]*Result{}, langs: []string{"x", "y"}, o: Options{}}
	s := a.gradients()[0]
	r := &Result{Spec: s, Langs: []string{"x", "y"}}
	r.Grams = []report.Gram{gram(1, 7), gram(2, -7), gram(3, 7)} // the metric is still of few steps
	for i, n := range []float64{0, 0.1, -0.1, 0.05, -0.05, 0} {
		r.Grams = append(r.Grams, gram(i+4, n))
	}
	a.results[s.Slug()] = r
	tr := a.transfer()
	if got := float64(tr.Effect[0][1]); math.Abs(got+1.0/8) > 1e-9 { // (−2 + 1) / (4 + 4)
		t.Errorf("y's step on x: %v", got)
	}
	if got := float64(tr.Effect[1][0]); math.Abs(got+1.0/8) > 1e-9 {
		t.Errorf("x's step on y: %v", got)
	}
	if want := math.Sqrt(6*2*0.01) / 48; math.Abs(float64(tr.Floor[0][1])-want) > 1e-9 || !tr.clear(0, 1) || tr.clear(0, 0) {
		t.Errorf("floor %v, want %v; error %v", tr.Floor[0][1], want, tr.Error[0][1])
	}
	if l := tr.Layers; len(l) != 2 || float64(l[0].Mean) >= 0 || float64(l[1].Mean) <= 0 || l[0].Conflict != 1 ||
		l[1].Conflict != 0 || len(tr.Periods) != 3 || tr.From != 4 || tr.Snapshots != 6 {
		t.Errorf("layers %+v, periods %+v", l, tr.Periods)
	}
}

// tinyAudit audits the fixture's run in so many tokens a call.
func tinyAudit(t *testing.T, path, out string, tokens int64, more func(*Options)) *Report {
	t.Helper()
	o := Options{Run: loaded(t, path), Out: out, Tokens: tokens, Steps: 2, Seeds: 3, Margin: 0.5}
	if more != nil {
		more(&o)
	}
	var text bytes.Buffer
	r, err := Run(context.Background(), o, train.UI{Out: &text, Warn: io.Discard})
	if err != nil {
		t.Fatal(err, text.String())
	}
	return r
}

// figures are what does not depend on time.
func figures(r *Report) string {
	b, err := json.Marshal([]any{r.Interference, r.Transfer, r.Forgetting, r.Seeds, r.Steps, r.For})
	if err != nil {
		panic(err)
	}
	return string(b)
}

// TestCallsGoOn stops an audit within its budget again and again: each call makes
// something, none more than its budget, and what comes out is that of one call. The page
// has every part.
func TestCallsGoOn(t *testing.T) {
	traintest.RequireAdapter(t)
	path := traintest.Run(t, map[string]string{"schedule": "steps = 2", "batch": "rows = 6"})
	out := filepath.Join(t.TempDir(), "audit")
	whole := tinyAudit(t, path, out, 1<<40, nil)
	parts := filepath.Join(t.TempDir(), "audit")
	var last *Report
	calls := 0
	for last == nil || last.Unfinished != "" {
		before := int64(0)
		if last != nil {
			before = last.Tokens
		}
		last = tinyAudit(t, path, parts, 1200, nil)
		if calls++; calls > 30 || last.Tokens == before && last.Unfinished != "" {
			t.Fatalf("call %d made nothing", calls)
		}
		if spent := last.Tokens - before; spent > 1200 {
			t.Errorf("call %d trained on %d tokens of 1200", calls, spent)
		}
	}
	if calls < 3 || figures(last) != figures(whole) {
		t.Errorf("%d calls come to\n%s\none to\n%s", calls, figures(last), figures(whole))
	}
	page, err := os.ReadFile(filepath.Join(out, "report.html"))
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"Does training together hurt?", "Who helps whom", "What is forgotten", "<svg", "Controls were not run"} {
		if !strings.Contains(string(page), want) {
			t.Errorf("the page has no %q", want)
		}
	}
	if bad := strings.Contains(string(page), "NaN") || strings.Contains(string(page), "<script"); bad {
		t.Error("the page has NaN or a script")
	}
	if len(whole.Interference) != 3 || len(whole.Forgetting) != 1 || whole.Seeds != 3 {
		t.Errorf("%d languages, %d unseen, %d seeds", len(whole.Interference), len(whole.Forgetting), whole.Seeds)
	}
	for _, f := range whole.Interference {
		if r := float64(f.Tokens); math.Abs(r-1) > 0.05 {
			t.Errorf("%s: %v times as many tokens in the mixture as alone", f.Lang, r)
		}
	}
	if _, err := Run(context.Background(), Options{Run: loaded(t, path, "optim.lr=0.5"), Out: out, Tokens: 1},
		train.UI{}); !isUsage(err, "optim.lr was") {
		t.Errorf("another learning rate goes on: %v", err)
	}
	longer := Options{Run: loaded(t, path), Out: out, Tokens: 1, Steps: 3}
	if _, err := Run(context.Background(), longer, train.UI{}); !isUsage(err, "--steps") {
		t.Errorf("another length goes on: %v", err)
	}
}

func isUsage(err error, want string) bool {
	return fault.IsUsage(err) && strings.Contains(err.Error(), want)
}

// loaded is a run file with overrides.
func loaded(t *testing.T, path string, overrides ...string) train.Varied {
	t.Helper()
	cfg, err := config.Load(path, overrides)
	if err != nil {
		t.Fatal(err)
	}
	return train.Vary(cfg)
}

// TestPatience: no run of an audit ends early, and the screen says so.
func TestPatience(t *testing.T) {
	traintest.RequireAdapter(t)
	path := traintest.Run(t, map[string]string{"eval": "every = 1\npatience = 2"})
	out := t.TempDir()
	var warn bytes.Buffer
	a, err := prepare(Options{Run: loaded(t, path), Out: out, Tokens: 1 << 40, Steps: 2, Seeds: 3, Margin: 0.5}, out, &warn)
	if err != nil {
		t.Fatal(err)
	}
	if says := "eval.patience = 2 ends no run of this audit"; !strings.Contains(warn.String(), says) ||
		!strings.Contains(warn.String(), "run.toml:") || a.base.Eval.Patience != 0 {
		t.Errorf("%q does not say %q, or the runs have a patience of %d", warn.String(), says, a.base.Eval.Patience)
	}
}

// TestRefusals: what an audit cannot be made of is said with the line that mends it.
func TestRefusals(t *testing.T) {
	traintest.RequireAdapter(t)
	path := traintest.Run(t, nil)
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for want, change := range map[string]func(string) string{
		"holdout = 0.1": func(s string) string { return strings.Replace(s, "heldout = \"aa.heldout.jsonl\"\n", "", 1) },
		"needs two":     func(s string) string { return s[:strings.Index(s, "[[data.source]]\nlang = \"bb\"")] },
	} {
		traintest.WriteFile(t, path, change(string(text)))
		if _, err := Run(context.Background(), Options{Run: loaded(t, path), Tokens: 1}, train.UI{}); err == nil ||
			!strings.Contains(err.Error(), want) {
			t.Errorf("want %q: %v", want, err)
		}
	}
}

// The run that measures gradients is one that the configuration's rules allow, whatever the
// optimizer and the way of the Gram, and the report has the metric of its products.
func TestGradientsWithAnyOptimizer(t *testing.T) {
	for settings, want := range map[string]metric{
		"optim.clip=1":         metricAdam,
		"objective.gram=ghost": metricAdam,
		"optim.name=adafactor": metricEuclidean,
		"optim.moments=int8":   metricEuclidean,
		"optim.moments=bf16":   metricEuclidean,
	} {
		a, err := prepare(Options{Run: loaded(t, traintest.Run(t, nil), settings), Seeds: 3, Margin: 0.01}, t.TempDir(), io.Discard)
		if err != nil {
			t.Fatal(err)
		}
		a.plan.Steps, a.results = 4, map[string]*Result{}
		s := a.gradients()[0]
		c := a.run(s)
		if err := c.Validate(); err != nil || c.Objective.AdamMetric != (want == metricAdam) {
			t.Errorf("%s: the optimizer's metric: %v, %v", settings, c.Objective.AdamMetric, err)
		}
		a.results[s.Slug()] = &Result{Spec: s, Langs: a.langs, Grams: []report.Gram{{Step: 4}}}
		if tr := a.transfer(); tr.Metric != string(want) || strings.Contains(tr.Told(), "Euclidean") != (want == metricEuclidean) {
			t.Errorf("%s: the report says %q", settings, tr.Told())
		}
	}
}

// A setting without a value is shown as one.
func TestLockShowsEmpty(t *testing.T) {
	l := lock{Pinned: study.Pinned{Settings: map[string]any{"adapter.kind": ""}}}
	if err := l.continues(lock{Pinned: study.Pinned{Settings: map[string]any{"adapter.kind": "lora"}}}, "x"); err == nil ||
		!strings.Contains(err.Error(), `was "" and is lora`) {
		t.Error(err)
	}
}

// Every remedy that fits a run file makes a run: nothing of it is refused. A remedy for an
// adapter changes the rank, and freezes nothing.
func TestRemediesRun(t *testing.T) {
	traintest.RequireAdapter(t)
	path := traintest.Run(t, map[string]string{"schedule": "steps = 1", "batch": "rows = 6"})
	a, err := prepare(Options{Run: loaded(t, path, "data.temperature=4"), Seeds: 3, Margin: 0.01}, t.TempDir(), io.Discard)
	if err != nil {
		t.Fatal(err)
	}
	a.plan.Steps, a.plan.Hurt = 1, []string{"bb"}
	names := ""
	for _, r := range a.remedies() {
		names += r.name + "; "
		c := a.run(Spec{Arm: r.name, LR: 1e-3, Seed: 1})
		c.Eval = train.EvalSettings{}
		if _, err := c.Train(context.Background(), train.UI{Quiet: true, Out: io.Discard, Warn: io.Discard}); err != nil {
			t.Errorf("%s: %v", r.name, err)
		}
	}
	for _, want := range []string{armLonger, "temperature 1", "mgda by global", hurtTwice, "lower layers frozen", "LoRA rank 4"} {
		if !strings.Contains(names, want) {
			t.Errorf("%s is not tried: %s", want, names)
		}
	}
	a.base.Adapter = train.AdapterSettings{Kind: "lora", Rank: 4, Alpha: 8, Targets: []string{"all-linear"}}
	names = ""
	for _, r := range a.remedies() {
		names += r.name + "; "
	}
	if strings.Contains(names, "frozen") || strings.Contains(names, "rank 4;") || !strings.Contains(names, "rank 32") {
		t.Errorf("with an adapter: %s", names)
	}
}

// TestControlFindings: a positive control passes where both languages are found to be hurt, a
// negative one where none is, and neither before it is finished.
func TestControlFindings(t *testing.T) {
	made := func(seeds int, hurt float64) *audit {
		a := &audit{lr: 1, seed: 1,
			o: Options{Margin: 0.01, Seeds: 3}, results: map[string]*Result{}, controls: map[string]*control{}}
		for _, data := range []string{positive, negative} {
			a.controls[data] = &control{langs: []string{"x", "y"}}
			for i := range seeds {
				noise := 0.002 * float64(i)
				for _, s := range append(a.judging(data, i, i+1), a.tuning(data)...) {
					r := &Result{Spec: s, Bits: map[string]float64{"x": 1, "y": 1}, ByLang: map[string]int{"x": 1, "y": 1}}
					if s.Arm == armMixture {
						r.Bits = map[string]float64{"x": 1 + hurt + noise, "y": 1 + hurt - noise}
					}
					if a.results[s.Slug()] == nil {
						a.results[s.Slug()] = r
					}
				}
			}
		}
		return a
	}
	for _, c := range []struct {
		hurt     float64
		pos, neg bool
	}{{0.5, true, false}, {0, false, true}} {
		got := made(3, c.hurt).controlFindings()
		if len(got) != 3 || got[2].Pass != nil || !strings.Contains(got[2].Text, "not made") {
			t.Errorf("the control of remedies, for which a step has too few rows: %+v", got)
		}
		if got[0].Pass == nil || *got[0].Pass != c.pos || got[1].Pass == nil || *got[1].Pass != c.neg {
			t.Errorf("hurt by %v: %+v", c.hurt, got)
		}
	}
	if got := made(2, 0.5).controlFindings(); got[0].Pass != nil || !strings.Contains(got[0].Text, "2 of 3") {
		t.Errorf("of two seeds: %+v", got[0])
	}
}

// Contradictory languages have the same prompts and other answers; halves of a language
// have all of its documents, each once.
func TestControlData(t *testing.T) {
	a := pairs(0, 50, " x")
	b := pairs(0, 50, " y")
	if bytes.Equal(a, b) || strings.ReplaceAll(string(b), " y", " x") != string(a) {
		t.Error("the prompts differ")
	}
	path := filepath.Join(t.TempDir(), "f")
	traintest.WriteFile(t, path, "1\n2\n3\n4\n5")
	first, err1 := everyOther([]string{path, path}, 0)
	second, err2 := everyOther([]string{path, path}, 1)
	if err := errors.Join(err1, err2); err != nil {
		t.Fatal(err)
	}
	if got := len(first) + len(second); got != 18 || slices.Equal(first, second) {
		t.Errorf("%q and %q", first, second)
	}
}

// Names fit beside a chart in the letters of a narrow screen too, and a caption wraps
// since it is not part of the picture.
func TestChartsHaveRoom(t *testing.T) {
	name := "model.embed_tokens.weight"
	picture := string(forest([]dot{{name: name, class: "even"}, {name: "es", class: "even"}}, 0.01, "what <is> shown"))
	inside, outside, _ := strings.Cut(picture, "</svg>")
	if room := labelWidth([]string{name, "es"}) - 12; room < 10*len(name) || !strings.Contains(inside, fmt.Sprintf(`x="%d"`, room)) {
		t.Errorf("%d pixels for %q in %s", room, name, inside)
	}
	if strings.Contains(inside, ">what") || !strings.Contains(outside, "what &lt;is&gt; shown") {
		t.Errorf("the caption: %s", outside)
	}
}
