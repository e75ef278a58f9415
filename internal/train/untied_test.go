package train

import (
	"maps"
	"math"
	"slices"
	"testing"

	"concord/bucket"
	"concord/internal/config"
	"concord/internal/report"
	"concord/internal/train/traintest"
)

// heads are the fixture's run with the head tied to the embedding and without: only
// a head of its own is complete, and may be resolved, inside its backward pass.
func heads(t *testing.T, overrides ...string) map[string]*config.Config {
	t.Helper()
	traintest.RequireAdapter(t)
	return map[string]*config.Config{"tied": load(t, traintest.Run(t, nil), overrides...),
		"untied": load(t, traintest.UntiedRun(t, nil), overrides...)}
}

// inFlight is a fresh trainer's n steps with so many groups in flight.
func inFlight(t *testing.T, cfg *config.Config, groups, n int) (weights []float32, records []report.Step) {
	t.Helper()
	c := *cfg
	c.Objective.InFlight = groups
	tr := open(t, &c)
	defer tr.Close()
	for range n {
		r, err := tr.Step(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		records = append(records, r)
	}
	return values(t, tr, bucket.Weight), records
}

// The losses that are shown and that methods solve with are those of the step, also
// where the head's group is solved inside the head's backward pass.
func TestUntiedHeadLosses(t *testing.T) {
	methods := [][]string{{"objective.method=pcgrad"}, {"objective.method=mgda", "objective.normalise=loss"},
		{"objective.method=db-mtl"}, {"objective.method=gradnorm"}}
	for _, scope := range []string{"tensor", "layer", "global"} {
		for _, method := range methods {
			for head, cfg := range heads(t, append(method, "schedule.warmup=0", "objective.scope="+scope)...) {
				what := head + " " + scope + " " + method[len(method)-1]
				plain := *withMethod(t, cfg, "mean")
				plain.Objective.Normalise = "none"
				_, mean := inFlight(t, &plain, 1, 1)
				w1, one := inFlight(t, cfg, 1, 2)
				w8, eight := inFlight(t, cfg, 8, 2)
				if !slices.Equal(w1, w8) {
					t.Errorf("%s: other weights with 1 group in flight than with 8", what)
				}
				for i := range one {
					if !maps.Equal(one[i].LossByLang, eight[i].LossByLang) {
						t.Errorf("%s, step %d: losses %v with 1 group in flight, %v with 8", what, i+1, one[i].LossByLang, eight[i].LossByLang)
					}
				}
				for lang, l := range mean[0].LossByLang {
					if got := one[0].LossByLang[lang]; !(l > 1) || math.Abs(float64(got-l)) > 1e-6 {
						t.Errorf("%s: the first loss of %s is %v, mean's %v", what, lang, got, l)
					}
				}
			}
		}
	}
}

// A probe's realised change is that of the losses of before and after the step.
func TestUntiedProbe(t *testing.T) {
	for head, cfg := range heads(t, "objective.method=pcgrad", "objective.in_flight=1", "optim.lr=1e-4", "schedule.warmup=0") {
		tr := open(t, cfg)
		_, p, err := tr.Probe(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		for lang, x := range p.Predicted {
			if d := math.Abs(float64(x - p.Realised[lang])); !(x < 0) || d > 2e-5+0.05*math.Abs(float64(x)) {
				t.Errorf("%s, %s: predicted %v, realised %v", head, lang, x, p.Realised[lang])
			}
		}
		tr.Close()
	}
}

// The same on one machine and on three of a run, in every exchange: all machines
// record one machine's losses of the first step.
func TestUntiedHeadOfManyMachines(t *testing.T) {
	for name, settings := range map[string][]string{
		"gradients": nil, "local": {"cluster.resolve=local"}, "sharded": {"cluster.sync=parameters"}, "outer": {"cluster.outer=1"},
	} {
		for head, cfg := range heads(t, slices.Concat(exact, settings,
			[]string{"objective.method=db-mtl", "objective.in_flight=1", "schedule.warmup=0", "batch.rows=8"})...) {
			alone := *cfg
			alone.Cluster = config.Default().Cluster
			_, want := inFlight(t, &alone, 1, 1)
			g := newGang(t, cfg, 3)
			g.steps(1)
			for i, r := range g.last {
				for lang, l := range want[0].LossByLang {
					if got := float64(r.LossByLang[lang]); !(l > 1) || math.Abs(got-float64(l)) > 1e-5 {
						t.Errorf("%s, %s, machine %d: the first loss of %s is %v, one machine's %v", name, head, i+1, lang, got, l)
					}
				}
			}
			g.replicas(name + " " + head)
			g.stop()
		}
	}
}
