package compare

import (
	"regexp"
	"slices"
	"strings"
	"testing"

	"concord/internal/config"
	"concord/moo"
)

func wideGrid() Grid {
	return Grid{Methods: []string{"mean", "pcgrad"}, Scopes: []string{"global", "8MB"}, LRs: []float64{1e-3, 2e-5}, Temperatures: []float64{1, 2.5},
		StaticSweep: true, FirstSeed: 7, Seeds: 2}
}

// The product, seed by seed; methods without gradients have no scope, and the
// temperature that mean has anyway is not tried twice.
func TestSpecs(t *testing.T) {
	g := wideGrid()
	specs := g.specs([]string{"es", "zh_Hant"}, 1)
	var got []string
	for _, s := range specs {
		got = append(got, s.Slug())
	}
	want := []string{
		"mean-lr0.001-s7", "pcgrad-global-lr0.001-s7", "pcgrad-8mb-lr0.001-s7",
		"static-tokens1-lr0.001-s7", "static-difficulty1-lr0.001-s7", "static-difficulty-minus1-lr0.001-s7", "static-tokens2-lr0.001-s7", "static-tokens5-lr0.001-s7",
		"static-favour1-es-lr0.001-s7", "static-favour2-zh-hant-lr0.001-s7", "mean-t2.5-lr0.001-s7",
		"mean-lr2e-05-s7",
	}
	if len(got) != 2*2*11 || !slices.Equal(got[:len(want)], want) {
		t.Errorf("%d runs:\n%s", len(got), strings.Join(got, "\n"))
	}
	if specs[22].Seed != 8 || specs[22].Config != specs[0].Config {
		t.Errorf("the second seed begins with %s", got[22])
	}
}

// Folder names are unique and allowed on every file system, whatever languages
// and scopes are called.
func TestSlugs(t *testing.T) {
	g := wideGrid()
	g.Scopes = []string{"tensor", "layer", "0.5MB", "25MB", "global"}
	g.Methods = nil
	for _, info := range moo.Methods() {
		g.Methods = append(g.Methods, info.Name)
	}
	g.StaticBudget = 30
	langs := []string{"es", "ES", "中文", "русский", "con", "a/b:c*?", "..", "x y"}
	safe := regexp.MustCompile(`^[a-z0-9][a-z0-9.-]*[a-z0-9]$`)
	specs := g.specs(langs, 1)
	if d := duplicate(specs); d != "" {
		t.Errorf("%s twice", d)
	}
	for _, s := range specs {
		if !safe.MatchString(s.Slug()) || len(s.Slug()) > 80 {
			t.Errorf("%q", s.Slug())
		}
	}
}

// A grid that has grown holds every run of the one before, under the same name.
func TestMerge(t *testing.T) {
	langs := []string{"es", "de"}
	old, more := wideGrid(), Grid{Methods: []string{"mean", "mgda"}, Scopes: []string{"layer"}, LRs: []float64{5e-3}, Seeds: 3, StaticSweep: true, StaticBudget: 9, FirstSeed: 7}
	old.StaticBudget = 4
	both := merge(old, more)
	var names []string
	for _, s := range both.specs(langs, 1) {
		names = append(names, s.Slug())
	}
	for _, g := range []Grid{old, more} {
		for _, s := range g.specs(langs, 1) {
			if !slices.Contains(names, s.Slug()) {
				t.Errorf("%s is lost", s.Slug())
			}
		}
	}
	if a, b := both.specs(langs, 1)[0], old.specs(langs, 1)[0]; a != b {
		t.Errorf("the first run was %v and is %v", b, a)
	}
}

func TestCheckGrid(t *testing.T) {
	g := Grid{Methods: []string{"pcgrad", all, "pcgrad"}, Seeds: 1}
	if err := g.check(3e-4, 5); err != nil {
		t.Fatal(err)
	}
	if g.Methods[0] != "mean" || g.Methods[1] != "pcgrad" || len(g.Methods) != len(moo.Methods())-1 || slices.Contains(g.Methods, "static") {
		t.Errorf("methods %v", g.Methods)
	}
	if !slices.Equal(g.LRs, []float64{3e-4}) || !slices.Equal(g.Scopes, []string{"layer"}) || g.FirstSeed != 5 {
		t.Errorf("%+v", g)
	}
	plain := Grid{Methods: []string{"mean"}, Scopes: []string{"layer"}, Seeds: 1}
	if err := plain.check(1, 1); err != nil || plain.Scopes != nil {
		t.Errorf("nothing resolves gradients, scopes are %v: %v", plain.Scopes, err)
	}
}

// A run's configuration is the comparison's with what the spec says, and the
// options of its own method only; the comparison's is not changed.
func TestApply(t *testing.T) {
	base := config.Default()
	base.Objective.Options = map[string]any{"c": 0.3, "order": "fixed"}
	base.Objective.Weights = map[string]float64{"es": 2}
	base.Data.Temperature = 2
	s := Spec{Config{Method: "cagrad", Scope: "8MB", LR: 5e-4}, 9}
	c := s.apply(base, "out", nil)
	if c.Run.Seed != 9 || c.OutDir() != "out/"+s.Slug() && c.OutDir() != `out\`+s.Slug() || c.Objective.Scope != "8MB" || c.Optim.LR != 5e-4 || c.Data.Temperature != 2 {
		t.Errorf("%+v", c)
	}
	if len(c.Objective.Options) != 1 || c.Objective.Options["c"] != 0.3 || c.Objective.Weights != nil {
		t.Errorf("options %v, weights %v", c.Objective.Options, c.Objective.Weights)
	}
	if c := (Spec{Config{Method: "static", LR: 1}, 1}).apply(base, "out", nil); c.Objective.Weights["es"] != 2 || len(c.Objective.Options) != 0 {
		t.Errorf("the run file's static weights: %v %v", c.Objective.Weights, c.Objective.Options)
	}
	if c := (Spec{Config{Method: "mean", Temperature: 5, LR: 1}, 1}).apply(base, "out", nil); c.Data.Temperature != 5 {
		t.Errorf("temperature %v", c.Data.Temperature)
	}
	if base.Objective.Method != "mean" || len(base.Objective.Options) != 2 || base.Run.Seed != 1 {
		t.Errorf("the comparison's configuration has changed: %+v", base)
	}
}
