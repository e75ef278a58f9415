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
)

// made is a finished run with the given bits per byte of one trained and one
// unseen language.
func made(c Config, seed uint64, valid, test, unseen float64) Result {
	scores := func(seen, unseen float64) []Score {
		return []Score{{Lang: "es", Seen: true, BitsPerByte: report.Float(seen), Bytes: 10, Examples: 2}, {Lang: "pt", BitsPerByte: report.Float(unseen), Bytes: 10, Examples: 2}}
	}
	s := Spec{c, seed}
	return Result{Spec: s, Slug: s.Slug(), Valid: scores(valid, unseen), Test: scores(test, unseen), Steps: 2, Tokens: 100, Supervised: 80, Seconds: 4, StepSeconds: 2, PeakBytes: 1 << 20,
		Curve: []Point{{1, 3}, {2, report.Float(test)}}, First: map[string]report.Float{"es": 3}, Batches: "b", Machine: Machine{"card", "vulkan", false}}
}

// reported is the report of the given results.
func reported(t *testing.T, g Grid, results ...Result) *Report {
	t.Helper()
	if err := g.check(1e-3, 1); err != nil {
		t.Fatal(err)
	}
	r := &runner{grid: g, jobs: 1, lock: &lock{Settings: map[string]any{"data.temperature": 1.0}}, facts: facts{langs: []string{"es"}}, results: map[string]*Result{}}
	r.base = baseConfig()
	r.specs = g.specs(r.facts.langs, 1)
	for i := range results {
		if !slices.Contains(r.specs, results[i].Spec) {
			t.Fatalf("%s is not in the grid", results[i].Slug)
		}
		r.results[results[i].Slug] = &results[i]
	}
	rep, err := r.report("concord compare run.toml --methods 'a b'")
	if err != nil {
		t.Fatal(err)
	}
	return rep
}

var (
	plain   = Config{Method: "mean", LR: 1e-3}
	pcgrad  = Config{Method: "pcgrad", Scope: "layer", LR: 1e-3}
	tokens1 = Config{Method: "static", Weights: Rule{Kind: byTokens, Value: 1}, LR: 1e-3}
	hard    = Config{Method: "static", Weights: Rule{Kind: byDifficulty, Value: 1}, LR: 1e-3}
)

func sweepGrid(seeds int) Grid {
	return Grid{Methods: []string{"pcgrad"}, Scopes: []string{"layer"}, StaticSweep: true, StaticBudget: 2, Seeds: seeds}
}

// threeSeeds are runs of every configuration of sweepGrid(3): tokens1 wins on
// the validation half, hard on the test half. gain is pcgrad's over tokens1.
func threeSeeds(gain float64) []Result {
	var out []Result
	for i, noise := range []float64{0, 0.01, -0.01} {
		s := uint64(i + 1)
		wobble := 0.002 * float64(i%2) // the differences are not all the same
		out = append(out, made(plain, s, 2.6+noise, 2.7+noise, 4+noise), made(tokens1, s, 2.4+noise, 2.6+noise, 4+noise),
			made(hard, s, 2.5+noise, 2.5+noise, 4+noise), made(pcgrad, s, 2.5+noise, 2.6+noise-gain+wobble, 4+noise+wobble-0.001))
	}
	return out
}

// The validation half chooses, even where the test half would have chosen
// otherwise, and the differences are from what it chose.
func TestChoice(t *testing.T) {
	rep := reported(t, sweepGrid(3), threeSeeds(0.05)...)
	f := rep.family(familyStatic)
	if f == nil || f.Chosen != tokens1 || f.Candidates != 3 || !near(float64(f.Seen.Mean), 2.6, 1e-9) {
		t.Fatalf("%+v", f)
	}
	p := rep.family("pcgrad layer")
	if !near(float64(p.VsTuned.Mean), -0.05+0.002/3, 1e-9) || !near(float64(p.VsMean.Mean), -0.15+0.002/3, 1e-9) || p.VsTuned.N != 3 {
		t.Errorf("differences %v and %v", p.VsTuned, p.VsMean)
	}
	md := rep.markdown()
	if !strings.Contains(md, "| static ∝ tokens | 0.001 | **2.4000 ± 0.0100** | 2.6000 ± 0.0100 | 4.0000 ± 0.0100 | tuned static |") {
		t.Errorf("what was tried:\n%s", md)
	}
}

// A candidate that has not finished for every seed is not chosen, however good.
func TestIncompleteCandidate(t *testing.T) {
	results := slices.DeleteFunc(threeSeeds(0), func(r Result) bool { return r.Config == tokens1 && r.Seed == 3 })
	failed := made(tokens1, 3, 0, 0, 0)
	failed.Valid, failed.Test, failed.Error, failed.Cause = nil, nil, "the loss is not finite\n  fix: less", "diverged"
	rep := reported(t, sweepGrid(3), append(results, failed)...)
	if f := rep.family(familyStatic); f.Chosen != hard {
		t.Errorf("chose %v", f.Chosen)
	}
	if len(rep.Failures) != 1 || rep.Finished != 11 || !strings.Contains(rep.Verdict[0], "1 run failed and is left out") {
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
		"better":     {sweepGrid(3), threeSeeds(0.05), []string{"pcgrad layer is better than tuned static by 0.0493", "at 1.00× its time a step", "only large differences"}, []string{"trained languages: no method"}},
		"worse":      {sweepGrid(3), threeSeeds(-0.05), []string{"pcgrad layer is worse than tuned static by 0.0507"}, []string{"better"}},
		"even":       {sweepGrid(3), threeSeeds(0.001), []string{"trained languages: no method differs from tuned static", "unseen languages: no method differs"}, []string{"better", "worse"}},
		"one seed":   {sweepGrid(1), threeSeeds(0.5)[:4], []string{"1 seed: too few"}, []string{"better"}},
		"two seeds":  {sweepGrid(2), threeSeeds(0.5)[:8], []string{"2 seeds: too few"}, []string{"better"}},
		"unfinished": {sweepGrid(3), threeSeeds(0.05)[:9], []string{"Not finished: 3 of 12", "is better"}, nil},
		"no tuning": {Grid{Methods: []string{"pcgrad"}, Scopes: []string{"layer"}, Seeds: 3}, slices.DeleteFunc(threeSeeds(0.5), func(r Result) bool { return r.Method == "static" }),
			[]string{"no gain is claimed"}, []string{"is better"}},
		"no method": {Grid{Methods: []string{"mean"}, StaticSweep: true, StaticBudget: 2, Seeds: 3}, slices.DeleteFunc(threeSeeds(0.5), func(r Result) bool { return r.Method == "pcgrad" }),
			[]string{"nothing to judge"}, nil},
		"nothing": {sweepGrid(3), nil, []string{"12 of 12 runs are missing"}, []string{"better"}},
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
		results := threeSeeds(0.05)
		c.change(&results[5])
		rep := reported(t, sweepGrid(3), results...)
		if text := strings.Join(rep.Verdict, "\n"); !strings.Contains(text, "there is no verdict") || !strings.Contains(text, c.says) || strings.Contains(text, "better") {
			t.Errorf("%s: %s", name, text)
		}
	}
}

// What there is no number for is not printed as one, in any of the forms, and
// report.json can be read back.
func TestForms(t *testing.T) {
	results := threeSeeds(0.05)
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
	for name, rep := range map[string]*Report{"holes": reported(t, odd, results...), "one": reported(t, sweepGrid(1), results[:2]...), "nothing": reported(t, sweepGrid(1))} {
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
func baseConfig() *config.Config {
	c := config.Default()
	c.Data.Temperature = 1
	return c
}
