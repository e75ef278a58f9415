package moo

import (
	"encoding/json"
	"math"
	"os"
	"testing"
)

type vectorCase struct {
	Name    string
	J       jacobian
	Rank    int
	Results map[string]struct {
		Weights, Vector []float64
		Error           string
	}
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

// TestVectors compares with an independent implementation of the papers'
// definitions. single and zero_row are where Solve's policy departs from the
// formulas on purpose: their expectations are in TestSolveEdges.
func TestVectors(t *testing.T) {
	methods := map[string]Method{
		"mgda_minnorm_exact":          must(t, "mgda", nil),
		"upgrad_exact_pref_mean":      must(t, "upgrad", nil),
		"pcgrad_sum_order_ascending":  must(t, "pcgrad", map[string]any{"order": "ascending"}),
		"pcgrad_sum_order_descending": must(t, "pcgrad", map[string]any{"order": "descending"}),
		"cagrad_c0.25_norescale":      must(t, "cagrad", map[string]any{"c": 0.25}),
		"cagrad_c0.5_norescale":       must(t, "cagrad", nil),
		"cagrad_c1.0_norescale":       must(t, "cagrad", map[string]any{"c": 1.0}),
	}
	compared := 0
	for _, c := range loadVectors(t) {
		for name, want := range c.Results {
			m, ok := methods[name]
			if !ok {
				t.Fatalf("%s: no method for %s", c.Name, name)
			}
			if c.Name == "single" || c.Name == "zero_row" || want.Error != "" {
				continue
			}
			compared++
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
	}
	if compared < 50 {
		t.Errorf("only %d comparisons", compared)
	}
}
