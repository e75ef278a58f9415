package compare

import (
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
	"testing"

	"concord/internal/config"
	"concord/internal/train"
	"concord/moo"
)

func wideGrid() Grid {
	return Grid{Methods: []string{"mean", "pcgrad"}, Scopes: []train.Scope{train.ScopeGlobal, "8MB"}, LRs: []float64{1e-3, 2e-5},
		Temperatures: []float64{1, 2.5},
		StaticSweep:  true, FirstSeed: 7, TuneSeeds: 2, Seeds: 2}
}

// The product, seed by seed; methods without gradients have no scope, and rules of static
// weights run side by side with rates and temperatures.
func TestSpecs(t *testing.T) {
	g := wideGrid()
	g.Alone = true
	langs := []string{"es", "zh_Hant"}
	g.sweepStatic(langs)
	specs := g.tuning(langs)
	var got []string
	for _, s := range specs {
		got = append(got, s.Slug())
	}
	want := []string{
		"mean-t1-lr0.001-s7", "pcgrad-global-t1-lr0.001-s7", "pcgrad-8mb-t1-lr0.001-s7",
		"mean-t1-lr2e-05-s7", "pcgrad-global-t1-lr2e-05-s7", "pcgrad-8mb-t1-lr2e-05-s7",
		"mean-t2.5-lr0.001-s7", "pcgrad-global-t2.5-lr0.001-s7", "pcgrad-8mb-t2.5-lr0.001-s7",
		"mean-t2.5-lr2e-05-s7", "pcgrad-global-t2.5-lr2e-05-s7", "pcgrad-8mb-t2.5-lr2e-05-s7",
		"static-tokens1-t1-lr0.001-s7", "static-difficulty1-t1-lr2e-05-s7", "static-difficulty-minus1-t2.5-lr0.001-s7", "static-tokens2-t2.5-lr2e-05-s7",
		"mean-only-es-" + fmt.Sprintf("%08x", hash32("es")) + "-t1-lr0.001-s7",
	}
	if len(got) != 2*(12+4+4) || !slices.Equal(got[:len(want)], want) {
		t.Errorf("%d runs:\n%s", len(got), strings.Join(got, "\n"))
	}
	if specs[20].Seed != 8 || specs[20].Config != specs[0].Config {
		t.Errorf("the second seed begins with %s", got[20])
	}
	if j := g.judging([]Config{specs[0].Config}); len(j) != 2 || j[0].Seed != 9 || !g.judges(9) || g.judges(8) {
		t.Errorf("judging runs %v", j)
	}
}

// TestCandidates holds that every family has the same number of candidates, but for those
// with options of their own, and that controls are for methods on the Gram only.
func TestCandidates(t *testing.T) {
	g := Grid{Methods: []string{"pcgrad", "cagrad", "graddrop", "famo"}, Controls: []string{"norm", "direction"},
		Options: []string{"cagrad.c=0.2", "cagrad.c=0.8"},
		LRs:     []float64{1, 2, 3}, Temperatures: []float64{1, 5}, StaticSweep: true, Seeds: 3}
	if err := g.check(1, 1, 1); err != nil {
		t.Fatal(err)
	}
	g.sweepStatic([]string{"es", "de"})
	c := newChoice(nil, g, g.configs([]string{"es", "de"}))
	got := map[string]int{}
	for _, f := range c.families() {
		_, got[f], _ = c.best(f)
	}
	want := map[string]int{"mean": 6, "token-mean": 6, familyTuned: 18, "pcgrad layer": 6, "pcgrad layer, norm only": 6,
		"pcgrad layer, direction only": 6,
		"cagrad layer":                 18, "cagrad layer, norm only": 18, "cagrad layer, direction only": 18, "graddrop layer": 6, "famo": 6}
	if !maps.Equal(got, want) {
		t.Errorf("candidates %v", got)
	}
}

// TestAlone holds that a language by itself sees its share of the mixture's steps, and that
// the other languages are only measured.
func TestAlone(t *testing.T) {
	base := train.Vary(config.Default())
	base.Data.Sources = []train.Source{{Lang: "es", Path: []string{"es"}, Heldout: []string{"es.h"}, Train: true},
		{Lang: "de", Path: []string{"de"}, Heldout: []string{"de.h"}, Train: true}, {Lang: "tr", Path: []string{"tr"}, Train: true},
		{Lang: "pt", Heldout: []string{"pt.h"}}}
	f := facts{langs: []string{"es", "de", "tr"}, tokens: map[string]int{"es": 600, "de": 300, "tr": 100}, steps: 200}
	s := Spec{Config{Method: "mean", Only: "de", Temperature: 1, LR: 1}, 1}
	c := s.apply(base, "x", nil)
	s.alone(&c, f)
	if c.Schedule.Steps != 60 || len(c.Data.Sources) != 3 || c.Data.Sources[0].Train || len(c.Data.Sources[0].Path) != 0 ||
		!c.Data.Sources[1].Train || c.Data.Sources[1].Path[0] != "de" || c.Data.Sources[2].Lang != "pt" {
		t.Errorf("%d steps, sources %+v", c.Schedule.Steps, c.Data.Sources)
	}
	if !base.Data.Sources[0].Train || len(base.Data.Sources) != 4 {
		t.Error("the comparison's configuration has changed")
	}
	s.Temperature = 1e9 // languages evened out
	c = s.apply(base, "x", nil)
	if s.alone(&c, f); c.Schedule.Steps != 67 {
		t.Errorf("%d steps of 200 for one of three languages", c.Schedule.Steps)
	}
}

// Folder names are unique and allowed on every file system, whatever languages
// and scopes are called.
func TestSlugs(t *testing.T) {
	g := wideGrid()
	g.Scopes = []train.Scope{"tensor", train.ScopeLayer, "7MB", "25MB", train.ScopeGlobal}
	g.Methods = nil
	for _, info := range moo.Methods() {
		g.Methods = append(g.Methods, info.Name)
	}
	g.StaticBudget = 30
	langs := []string{"es", "ES", "中文", "русский", "con", "a/b:c*?", "..", "x y"}
	safe := regexp.MustCompile(`^[a-z0-9][a-z0-9.-]*[a-z0-9]$`)
	g.sweepStatic(langs)
	specs := g.tuning(langs)
	if d := duplicate(specs); d != "" {
		t.Errorf("%s twice", d)
	}
	for _, s := range specs {
		if !safe.MatchString(s.Slug()) || len(s.Slug()) > 100 {
			t.Errorf("%q", s.Slug())
		}
	}
}

// A grid that has grown holds every run of the one before, under the same name.
func TestMerge(t *testing.T) {
	langs := []string{"es", "de"}
	old, more := wideGrid(), Grid{Methods: []string{"mean", "mgda"}, Scopes: []train.Scope{train.ScopeLayer}, LRs: []float64{5e-3},
		Seeds: 3, StaticSweep: true, StaticBudget: 9, FirstSeed: 7}
	old.StaticBudget, more.Temperatures, more.TuneSeeds = 4, []float64{1}, 1
	old.sweepStatic(langs)
	more.sweepStatic(langs)
	both := merge(old, more)
	var names []string
	for _, s := range both.tuning(langs) {
		names = append(names, s.Slug())
	}
	for _, g := range []Grid{old, more} {
		for _, s := range g.tuning(langs) {
			if !slices.Contains(names, s.Slug()) {
				t.Errorf("%s is lost", s.Slug())
			}
		}
	}
	if a, b := both.tuning(langs)[0], old.tuning(langs)[0]; a != b {
		t.Errorf("the first run was %v and is %v", b, a)
	}
}

func TestCheckGrid(t *testing.T) {
	g := Grid{Methods: []string{"pcgrad", all, "pcgrad"}, Seeds: 1}
	if err := g.check(3e-4, 2, 5); err != nil {
		t.Fatal(err)
	}
	if g.Methods[0] != "mean" || g.Methods[1] != "token-mean" || g.Methods[2] != "pcgrad" || len(g.Methods) != len(moo.Methods())-1 ||
		slices.Contains(g.Methods, "static") {
		t.Errorf("methods %v", g.Methods)
	}
	if !slices.Equal(g.LRs, []float64{1.5e-4, 3e-4, 6e-4}) || !slices.Equal(g.Temperatures, []float64{2}) || g.TuneSeeds != 1 ||
		!slices.Equal(g.Scopes, []train.Scope{train.ScopeLayer}) || g.FirstSeed != 5 {
		t.Errorf("%+v", g)
	}
	plain := Grid{Methods: []string{"mean"}, Scopes: []train.Scope{train.ScopeLayer}, Seeds: 1}
	if err := plain.check(1, 1, 1); err != nil || plain.Scopes != nil {
		t.Errorf("nothing resolves gradients, scopes are %v: %v", plain.Scopes, err)
	}
}

// A run's configuration is the comparison's with what the spec says, and the
// options of its own method only; the comparison's is not changed.
func TestApply(t *testing.T) {
	base := train.Vary(config.Default())
	base.Objective.Options = map[string]any{"c": 0.3, "order": "fixed"}
	base.Objective.Weights = map[string]float64{"es": 2}
	base.Data.Temperature = 2
	s := Spec{Config{Method: "cagrad", Scope: "8MB", Control: "norm", Option: "rescale=none", Temperature: 2, LR: 5e-4}, 9}
	c := s.apply(base, "out", nil)
	if c.Run.Seed != 9 || c.Folder() != "out/"+s.Slug() && c.Folder() != `out\`+s.Slug() || c.Objective.Scope != "8MB" ||
		c.LR != 5e-4 || c.Data.Temperature != 2 {
		t.Errorf("%+v", c)
	}
	if len(c.Objective.Options) != 2 || c.Objective.Options["c"] != 0.3 || c.Objective.Options["rescale"] != "none" ||
		c.Objective.Control != "norm" || c.Objective.Weights != nil {
		t.Errorf("options %v, weights %v", c.Objective.Options, c.Objective.Weights)
	}
	if c := (Spec{Config{Method: "static", Temperature: 1, LR: 1}, 1}).apply(base, "out", nil); c.Objective.Weights["es"] != 2 ||
		len(c.Objective.Options) != 0 {
		t.Errorf("the run file's static weights: %v %v", c.Objective.Weights, c.Objective.Options)
	}
	if c := (Spec{Config{Method: "mean", Temperature: 5, LR: 1}, 1}).apply(base, "out", nil); c.Data.Temperature != 5 {
		t.Errorf("temperature %v", c.Data.Temperature)
	}
	if base.Objective.Method != "mean" || len(base.Objective.Options) != 2 || base.Run.Seed != 1 {
		t.Errorf("the comparison's configuration has changed: %+v", base)
	}
}

// The arm of independent rows is plain fine-tuning with another mixing, a family of its
// own, which is no reference and sees batches that no other does.
func TestIIDArm(t *testing.T) {
	g := Grid{Methods: []string{"pcgrad"}, Seeds: 1, IID: true}
	if err := g.check(1e-3, 1, 1); err != nil {
		t.Fatal(err)
	}
	base := train.Vary(config.Default())
	n := 0
	for _, c := range g.configs([]string{"aa", "bb"}) {
		applied := Spec{Config: c, Seed: 1}.apply(base, "", nil)
		if c.Mixing == "" && applied.Data.IID {
			t.Errorf("%s is mixed independently", c)
		}
		if c.Mixing == "" {
			continue
		}
		n++
		if fam := c.families(); len(fam) != 1 || fam[0] != "token-mean, iid" || !applied.Data.IID ||
			applied.Objective.Method != familyPlain {
			t.Errorf("%v %v: %+v", fam, applied.Data.IID, c)
		}
	}
	if n != len(g.LRs) {
		t.Errorf("%d configurations of %d rates", n, len(g.LRs))
	}
	a, b := Result{Slug: "a", Batches: "1"}, Result{Slug: "b", Batches: "2"}
	b.Mixing = "iid"
	if p := problems([]Result{a, b}); len(p) != 0 {
		t.Errorf("other batches of another mixing are a problem: %v", p)
	}
	for _, d := range []train.DataSettings{{Align: "key", Temperature: 1}, {IID: true, Temperature: 1}} {
		if err := g.checkData(d); err == nil {
			t.Errorf("%+v goes with --iid", d)
		}
	}
	g.IID, g.Temperatures = false, []float64{1, 5}
	if err := g.checkData(train.DataSettings{Align: train.AlignLine}); err == nil || !strings.Contains(err.Error(), "--temperatures") {
		t.Errorf("aligned languages at temperature 5: %v", err)
	}
}
