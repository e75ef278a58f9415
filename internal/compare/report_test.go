package compare

import (
	"bytes"
	"encoding/csv"
	"encoding/json"
	"math"
	"slices"
	"strings"
	"testing"

	"concord/internal/config"
	"concord/internal/report"
	"concord/internal/study"
	"concord/internal/train"
)

// made is a finished run with the given bits per byte of one trained and one
// unseen language.
func made(c Config, seed uint64, valid, test, unseen float64) Result {
	scores := func(seen, unseen float64) []Score {
		return []Score{{Lang: "es", Seen: true, BitsPerByte: report.Float(seen), Bytes: 10, Examples: 2},
			{Lang: "pt", BitsPerByte: report.Float(unseen), Bytes: 10, Examples: 2}}
	}
	s := Spec{c, seed}
	return Result{Spec: s, Slug: s.Slug(), Valid: scores(valid, unseen), Test: scores(test, unseen), Steps: 2, Tokens: 100, Supervised: 80,
		Seconds: 4, StepSeconds: 2, PeakBytes: 1 << 20,
		Curve: []Point{{1, 3}, {2, report.Float(test)}}, First: map[string]report.Float{"es": 3}, Batches: "b",
		Machine: Machine{"card", "vulkan", false}}
}

// reported is the report of the given results.
func reported(t *testing.T, g Grid, results ...Result) *Report {
	t.Helper()
	if err := g.check(1e-3, 1, 1); err != nil {
		t.Fatal(err)
	}
	r := &runner{grid: g, jobs: 1, lock: &lock{Pinned: study.Pinned{Settings: map[string]any{"data.temperature": 1.0}}},
		facts:   facts{langs: []string{"es"}},
		results: map[string]*Result{}}
	r.base = baseConfig()
	g.sweepStatic([]string{"es"})
	r.grid = g
	for i := range results {
		if !slices.Contains(g.configs(r.facts.langs), results[i].Config) {
			t.Fatalf("%s is not in the grid", results[i].Slug)
		}
		r.results[results[i].Slug] = &results[i]
	}
	r.specs = r.plan()
	rep, err := r.report("concord compare run.toml --methods 'a b'")
	if err != nil {
		t.Fatal(err)
	}
	return rep
}

var (
	plain   = Config{Method: "mean", Temperature: 1, LR: 1e-3}
	token   = Config{Method: "token-mean", Temperature: 1, LR: 1e-3}
	pcgrad  = Config{Method: "pcgrad", Scope: train.ScopeLayer, Temperature: 1, LR: 1e-3}
	tokens1 = Config{Method: "static", Weights: Rule{Kind: byTokens, Value: 1}, Temperature: 1, LR: 1e-3}
	hard    = Config{Method: "static", Weights: Rule{Kind: byDifficulty, Value: 1}, Temperature: 1, LR: 1e-3}
)

func sweepGrid(seeds int) Grid {
	return Grid{Methods: []string{"pcgrad"}, Scopes: []train.Scope{train.ScopeLayer}, LRs: []float64{1e-3}, StaticSweep: true,
		StaticBudget: 2, Seeds: seeds}
}

// judged are a tuning seed of every configuration of sweepGrid, by which tokens1 wins on
// the validation half and hard on the test half, and so many judging seeds of what is
// chosen. gain is pcgrad's over tokens1.
func judged(seeds int, gain float64) []Result {
	out := []Result{made(plain, 1, 2.6, 2.7, 4), made(token, 1, 2.7, 2.8, 4), made(pcgrad, 1, 2.5, 2.6-gain, 4),
		made(tokens1, 1, 2.4, 2.6, 4), made(hard, 1, 2.5, 2.5, 4)}
	for i := range seeds {
		s, noise := uint64(i+2), 0.01*float64(i%3-1)
		wobble := 0.001 * float64((i+1)%2) // the differences are not all the same
		out = append(out, made(plain, s, 2.6+noise, 2.7+noise+2*wobble, 4+noise), made(token, s, 2.7, 2.8+noise+wobble/2, 4+noise+wobble),
			made(tokens1, s, 2.4+noise, 2.6+noise, 4+noise),
			made(pcgrad, s, 2.5+noise, 2.6+noise-gain+wobble, 4+noise+wobble-0.001))
	}
	return out
}

// The validation half chooses under the tuning seed, even where the test half or the
// judging seeds would have chosen otherwise, and the differences are from what it chose.
func TestChoice(t *testing.T) {
	rep := reported(t, sweepGrid(3), judged(3, 0.05)...)
	f := rep.family(familyTuned)
	if f == nil || f.Chosen != tokens1 || f.Candidates != 4 || !near(float64(f.Seen.Mean), 2.6, 1e-9) ||
		!slices.Equal(f.Seeds, []uint64{2, 3, 4}) {
		t.Fatalf("%+v", f)
	}
	p := rep.family("pcgrad layer")
	if !near(float64(p.VsRef.Mean), -0.05+0.002/3, 1e-9) || p.VsRef.N != 3 || p.Reference != tokens1 {
		t.Errorf("difference %v from %v", p.VsRef, p.Reference)
	}
	if rep.Planned != 5+3*4 || rep.Finished != rep.Planned {
		t.Errorf("%d runs of %d: hard was not chosen and is not judged", rep.Finished, rep.Planned)
	}
	md := rep.markdown()
	for key, says := range map[string]bool{"data.align": true, "data.source.1.key": true, "data.source.1.lang": false, "data.mixing": false} {
		rep.Settings = map[string]any{key: "x", "data.source.0.key": ""}
		page, err := rep.html()
		if err != nil || strings.Contains(rep.markdown(), "have keys") != says || strings.Contains(string(page), "have keys") != says {
			t.Errorf("%s: that examples have keys is said, or not: %v", key, err)
		}
	}
	if !strings.Contains(md, "| static ∝ tokens | 0.001 | 1 | **2.4000** | 2.6000 | 4.0000 | tuned scalarisation |") {
		t.Errorf("what was tried:\n%s", md)
	}
}

// A configuration is compared with the best reference at its own temperature, whose runs
// see the same batches.
func TestEqualBatches(t *testing.T) {
	g := Grid{Methods: []string{"pcgrad"}, LRs: []float64{1e-3, 2e-3}, Temperatures: []float64{1, 5}, Seeds: 3}
	at := func(c Config, temperature, lr float64) Config { c.Temperature, c.LR = temperature, lr; return c }
	var results []Result
	for _, heat := range g.Temperatures {
		for _, lr := range g.LRs {
			// mean is best at T = 5 and 2e-3, and at T = 1 at 1e-3; pcgrad at T = 1 and 2e-3
			results = append(results, made(at(plain, heat, lr), 1, 3-heat*lr*50+(2-heat)*lr*200, 3, 4), made(at(token, heat, lr), 1, 3, 3, 4),
				made(at(pcgrad, heat, lr), 1, 2.5+heat-lr, 3, 4))
		}
	}
	if err := g.check(1e-3, 1, 1); err != nil {
		t.Fatal(err)
	}
	c := newChoice(results, g, g.configs([]string{"es"}))
	mean, _, _ := c.best(familyMean)
	p, _, _ := c.best("pcgrad layer")
	ref, ok := c.matched(p)
	if mean != at(plain, 5, 2e-3) || p != at(pcgrad, 1, 2e-3) || !ok || ref != at(plain, 1, 1e-3) {
		t.Errorf("mean %v, pcgrad %v, compared with %v", mean, p, ref)
	}
	if chosen := c.chosen(); !slices.Contains(chosen, ref) || !slices.Contains(chosen, mean) || !c.edge(2e-3) {
		t.Errorf("judged are %v", chosen)
	}
}

// Unseen languages at equal loss on the trained ones: on the curve of mean over learning
// rates, not at the same rate.
func TestAtEqualLoss(t *testing.T) {
	g := Grid{Methods: []string{"mgda"}, LRs: []float64{1, 2}, Temperatures: []float64{1}, Seeds: 3}
	if err := g.check(1, 1, 1); err != nil {
		t.Fatal(err)
	}
	slow, fast := Config{Method: "mean", Temperature: 1, LR: 1}, Config{Method: "mean", Temperature: 1, LR: 2}
	mgda := Config{Method: "mgda", Scope: train.ScopeLayer, Temperature: 1, LR: 2}
	c := newChoice([]Result{made(slow, 1, 3, 3, 3.5), made(fast, 1, 2, 2, 4.5), made(mgda, 1, 2.5, 2.5, 4.1)}, g, g.configs([]string{"es"}))
	// 4.1 against 4.0 on the curve, though 0.4 better than mean at the same rate
	if s := c.atEqualLoss(mgda); s.N != 1 || !near(float64(s.Mean), 0.1, 1e-9) {
		t.Errorf("%v", s)
	}
}

// TestInterference: the mixture against each language alone, hurt where it is above.
func TestInterference(t *testing.T) {
	g := Grid{Methods: []string{"mean"}, LRs: []float64{1e-3}, Temperatures: []float64{1}, Alone: true, Seeds: 4, TuneSeeds: 1}
	r := []Result{}
	two := func(c Config, seed uint64, es, de float64) Result {
		x := made(c, seed, es, es, 4)
		for _, half := range [][]Score{x.Valid, x.Test} {
			half[1] = Score{Lang: "de", Seen: true, BitsPerByte: report.Float(de), Bytes: 10, Examples: 2}
		}
		return x
	}
	only := func(l string) Config { return Config{Method: "mean", Only: l, Temperature: 1, LR: 1e-3} }
	for seed := uint64(1); seed <= 5; seed++ {
		e := 0.001 * float64(seed%3)
		r = append(r, two(plain, seed, 2.5+e, 2.2-e), two(token, seed, 2.5, 2.2), two(only("es"), seed, 2.3-e/2, 9),
			two(only("de"), seed, 9, 2.4+e/3))
	}
	if err := g.check(1e-3, 1, 1); err != nil {
		t.Fatal(err)
	}
	c := newChoice(r, g, g.configs([]string{"es", "de"}))
	rep := &Report{Grid: g}
	c.fill(rep)
	if len(rep.Alone) != 2 || !rep.Alone[0].Effect.Worse() || !rep.Alone[1].Effect.Better() ||
		!near(float64(rep.Alone[1].ByItself.Mean), 2.4, 0.01) {
		t.Fatalf("%+v", rep.Alone)
	}
	text := strings.Join(rep.interference(), "\n")
	if !strings.Contains(text, "hurt by the others, in bits per byte against training alone on as many tokens of them: es +0.2") ||
		!strings.Contains(text, "helped by the others") {
		t.Error(text)
	}
	for _, f := range rep.Families {
		if strings.Contains(f.Name, "alone") {
			t.Errorf("%s is a row of the comparison", f.Name)
		}
	}
}

// A candidate that has not finished for every tuning seed is not chosen, however good.
func TestIncompleteCandidate(t *testing.T) {
	results := slices.DeleteFunc(judged(0, 0), func(r Result) bool { return r.Config == tokens1 })
	failed := made(tokens1, 1, 0, 0, 0)
	failed.Valid, failed.Test, failed.Error, failed.Cause = nil, nil, "the loss is not finite\n  fix: less", "diverged"
	rep := reported(t, sweepGrid(3), append(results, failed)...)
	if f := rep.family(familyTuned); f.Chosen != hard {
		t.Errorf("chose %v", f.Chosen)
	}
	if len(rep.Failures) != 1 || rep.Finished != 4 || !strings.Contains(strings.Join(rep.Verdict, "\n"), "1 run failed and is left out") {
		t.Errorf("%v %v", rep.Failures, rep.Verdict)
	}
}

func TestVerdict(t *testing.T) {
	for name, c := range map[string]struct {
		grid    Grid
		results []Result
		says    []string
		not     []string
	}{
		"better":     {sweepGrid(5), judged(5, 0.05), []string{"pcgrad layer is better than tuned scalarisation by 0.0494", "at 1.00× its time a step", "token-mean is worse"}, []string{"no method"}},
		"worse":      {sweepGrid(5), judged(5, -0.05), []string{"pcgrad layer is worse than tuned scalarisation by 0.0506"}, []string{"pcgrad layer is better"}},
		"equivalent": {sweepGrid(5), judged(5, 0), []string{"equivalent to tuned scalarisation within ±0.005 bits per byte: pcgrad layer"}, []string{"pcgrad layer is better", "does not hold"}},
		"one seed":   {sweepGrid(1), judged(1, 0.5), []string{"1 judging seed: too few"}, []string{"better"}},
		"two seeds":  {sweepGrid(2), judged(2, 0.5), []string{"2 judging seeds: too few"}, []string{"better"}},
		"unfinished": {sweepGrid(5), judged(5, 0.05)[:5+4*3], []string{"Not finished: 8 of 25", "is better"}, nil},
		"not judged": {sweepGrid(3), judged(0, 0.05), []string{"No judging seed has finished"}, []string{"is better"}},
		"nothing":    {sweepGrid(3), nil, []string{"5 of 5 runs are missing"}, []string{"better"}},
	} {
		t.Run(name, func(t *testing.T) {
			text := strings.Join(reported(t, c.grid, c.results...).Verdict, "\n")
			for _, s := range c.says {
				if !strings.Contains(text, s) {
					t.Errorf("it does not say %q:\n%s", s, text)
				}
			}
			for _, s := range c.not {
				if strings.Contains(text, s) {
					t.Errorf("it says %q:\n%s", s, text)
				}
			}
		})
	}
}

// What is not distinguishable is said with what is excluded, and what would have shown.
func TestOpenVerdict(t *testing.T) {
	g := sweepGrid(3)
	g.Margin = 1e-4
	text := strings.Join(reported(t, g, judged(3, 0)...).Verdict, "\n")
	if !strings.Contains(text, "not distinguishable from tuned scalarisation: pcgrad layer (a gain of more than 0.0") ||
		!strings.Contains(text, "would show in 4 of 5") ||
		!strings.Contains(text, "for pcgrad layer equivalence within ±0.0001 bits per byte could not have been shown") {
		t.Error(text)
	}
}

// Runs that are not alike but for their method are not judged.
func TestProblems(t *testing.T) {
	for name, c := range map[string]struct {
		change func(*Result)
		says   string
	}{
		"tokens":  {func(r *Result) { r.Tokens = 99 }, "99 tokens"},
		"batches": {func(r *Result) { r.Batches = "other" }, "different batches"},
		"model":   {func(r *Result) { r.First = map[string]report.Float{"es": 3.01} }, "not the same initial model"},
		"device":  {func(r *Result) { r.Machine.Device = "another" }, "another"},
	} {
		results := judged(3, 0.05)
		c.change(&results[5])
		rep := reported(t, sweepGrid(3), results...)
		if text := strings.Join(rep.Verdict, "\n"); !strings.Contains(text, "there is no verdict") || !strings.Contains(text, c.says) ||
			strings.Contains(text, "better") {
			t.Errorf("%s: %s", name, text)
		}
	}
}

// What there is no number for is not printed as one, in any of the forms, and
// report.json can be read back.
func TestForms(t *testing.T) {
	results := judged(3, 0.05)
	for i := range results {
		for j := range results[i].Test {
			if results[i].Test[j].Lang == "pt" && results[i].Method == "pcgrad" {
				results[i].Test[j].BitsPerByte = report.Float(math.NaN())
			}
		}
	}
	results[0].Curve[1].Loss = report.Float(math.NaN())
	odd := sweepGrid(3)
	odd.Methods = append(odd.Methods, "mgda") // has no run
	for name, rep := range map[string]*Report{"holes": reported(t, odd, results...), "one": reported(t, sweepGrid(1), results[:2]...),
		"nothing": reported(t, sweepGrid(1))} {
		page, err := rep.html()
		if err != nil {
			t.Fatal(err)
		}
		asJSON, err := json.Marshal(rep)
		if err != nil {
			t.Fatal(err)
		}
		for form, text := range map[string]string{"md": rep.markdown(), "html": string(page), "csv": string(rep.csv()), "json": string(asJSON)} {
			for _, bad := range []string{"NaN", "Inf", "%!"} {
				if strings.Contains(text, bad) {
					t.Errorf("%s, report.%s holds %q:\n%s", name, form, bad, text)
				}
			}
		}
		var back Report
		if err := json.Unmarshal(asJSON, &back); err != nil || back.Planned != rep.Planned {
			t.Errorf("%s: %v", name, err)
		}
		if rows, err := csv.NewReader(bytes.NewReader(rep.csv())).ReadAll(); err != nil || len(rows) != 1+4*len(rep.Runs) {
			t.Errorf("%s: %d rows of CSV: %v", name, len(rows), err)
		}
		if strings.Contains(string(page), "<script") || !strings.Contains(string(page), "&#39;a b&#39;") {
			t.Errorf("%s: the page has a script, or the command is not escaped", name)
		}
	}
}

// baseConfig is the run file's, as far as a report needs it.
func baseConfig() train.Varied {
	c := train.Vary(config.Default())
	c.Data.Temperature = 1
	return c
}
