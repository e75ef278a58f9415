package moo

import (
	"encoding/json"
	"math"
	"os"
	"testing"
)

// vector is one method's result on one Jacobian.
type vector struct {
	Weights, Vector []float64
	Call1           []float64 `json:"call1_weights"` // gradvac: two calls on one Jacobian
	Call2           []float64 `json:"call2_weights"`
	Error           string
}

type vectorCase struct {
	Name    string
	J       jacobian
	Rank    int
	Results map[string]vector
}

func loadVectors(t testing.TB) []vectorCase {
	t.Helper()
	raw, err := os.ReadFile("testdata/vectors.json")
	if err != nil {
		t.Fatal(err)
	}
	var file struct{ Cases []vectorCase }
	if err := json.Unmarshal(raw, &file); err != nil {
		t.Fatal(err)
	}
	return file.Cases
}

// policy lists the results from which Solve's treatment of edge cases departs on
// purpose, by "case" or "case method", with the reason. What Solve does there is
// TestSolveEdges's business.
var policy = map[string]string{
	"single":             "one objective left: its gradient itself, whatever the method's scale",
	"zero_row":           "a zero row is dropped before the method sees it",
	"four_lowrank imtlg": "dependent gradients, where no direction has equal projections: least squares on the cosines, not on G",
	"antiparallel imtlg": "likewise: opposed gradients give 0, and no longer ascend the shorter one",
	"scaled_small gradvac_beta0.5_order_ascending": "the reference's absolute epsilon makes it a no-op on short gradients",
}

// TestVectors compares with an independent implementation of the papers'
// definitions.
func TestVectors(t *testing.T) {
	methods := map[string]Method{
		"mgda_minnorm_exact":              must(t, "mgda", nil),
		"upgrad_exact_pref_mean":          must(t, "upgrad", nil),
		"dualproj_exact_pref_mean":        must(t, "dualproj", nil),
		"pcgrad_sum_order_ascending":      must(t, "pcgrad", map[string]any{"order": "ascending"}),
		"pcgrad_sum_order_descending":     must(t, "pcgrad", map[string]any{"order": "descending"}),
		"cagrad_c0.25_norescale":          must(t, "cagrad", map[string]any{"c": 0.25}),
		"cagrad_c0.5_norescale":           must(t, "cagrad", nil),
		"cagrad_c1.0_norescale":           must(t, "cagrad", map[string]any{"c": 1.0}),
		"imtlg":                           must(t, "imtl-g", nil),
		"aligned_mtl_min":                 must(t, "aligned-mtl", nil),
		"config_ones":                     must(t, "config", nil),
		"nash_alpha(G a=1/a)":             must(t, "nash-mtl", nil),
		"fairgrad_alpha0.5":               must(t, "fairgrad", map[string]any{"alpha": 0.5}),
		"fairgrad_alpha2":                 must(t, "fairgrad", map[string]any{"alpha": 2.0}),
		"gradvac_beta0.5_order_ascending": must(t, "gradvac", map[string]any{"order": "ascending"}),
	}
	compared, departed := 0, 0
	for _, c := range loadVectors(t) {
		for name, want := range c.Results {
			m, ok := methods[name]
			if !ok {
				t.Fatalf("%s: no method for %s", c.Name, name)
			}
			if policy[c.Name] != "" || policy[c.Name+" "+name] != "" {
				departed++
				continue
			}
			compared++
			if want.Call1 != nil {
				compareCalls(t, m, c, want)
			} else {
				compareVector(t, m, c, name, want)
			}
		}
	}
	if compared != 120 || departed != 29 { // so that none is left out unseen
		t.Errorf("%d comparisons, %d departures", compared, departed)
	}
}

func compareVector(t *testing.T, m Method, c vectorCase, name string, want vector) {
	t.Helper()
	d, w := direction(t, m, c.J)
	scale := 0.0 // of rounding: the file has ten digits of weights
	for i, row := range c.J {
		scale = max(scale, length(row)*max(1, math.Abs(want.Weights[i])))
	}
	for i := range d {
		if math.Abs(d[i]-want.Vector[i]) > 1e-9*scale {
			t.Errorf("%s %s: vector %v, want %v", c.Name, name, d, want.Vector)
			break
		}
	}
	if c.Rank == len(c.J) && far(w, want.Weights) > 1e-9 {
		t.Errorf("%s %s: weights %v, want %v", c.Name, name, w, want.Weights)
	}
}

// compareCalls makes the two calls; the reference adds 1e-8 to products of norms.
func compareCalls(t *testing.T, m Method, c vectorCase, want vector) {
	t.Helper()
	in := Input{G: c.J.Gram()}
	for call, weights := range [][]float64{want.Call1, want.Call2} {
		r, err := Solve(m, in)
		if err != nil {
			t.Fatal(err)
		}
		in.State = r.State
		tolerance := 1e-7
		if c.Rank < len(c.J) { // cosines of −1, where √(1 − φ²) amplifies it
			tolerance = 1e-4
		}
		if far(r.Weights, weights) > tolerance {
			t.Errorf("%s %s, call %d: weights %v, want %v", c.Name, m.Name(), call+1, r.Weights, weights)
		}
	}
}
