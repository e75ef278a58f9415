package textscore

import (
	"encoding/json"
	"math"
	"os"
	"testing"
)

// Values are sacrebleu's (testdata/chrf.py).
func TestChrF(t *testing.T) {
	b, err := os.ReadFile("testdata/chrf.json")
	if err != nil {
		t.Fatal(err)
	}
	var v struct {
		Singles []struct {
			Answer, Wanted string
			ChrF           float64
		}
		Sets []struct {
			Pairs []int
			ChrF  float64
		}
	}
	if err := json.Unmarshal(b, &v); err != nil {
		t.Fatal(err)
	}
	if len(v.Singles) < 100 || len(v.Sets) < 5 {
		t.Fatalf("%d singles, %d sets", len(v.Singles), len(v.Sets))
	}
	for _, s := range v.Singles {
		if got := ChrF([]string{s.Answer}, []string{s.Wanted}); math.Abs(got.Value-s.ChrF) > 1e-9 {
			t.Errorf("%q for %q: %v, sacrebleu %v", s.Answer, s.Wanted, got.Value, s.ChrF)
		}
	}
	for _, s := range v.Sets {
		var answers, wanted []string
		for _, i := range s.Pairs {
			answers, wanted = append(answers, v.Singles[i].Answer), append(wanted, v.Singles[i].Wanted)
		}
		got := ChrF(answers, wanted)
		if math.Abs(got.Value-s.ChrF) > 1e-9 || got.N != len(answers) {
			t.Errorf("%d answers: %+v, sacrebleu %v", len(answers), got, s.ChrF)
		}
		if len(answers) > 1 && !(got.Low <= got.Value && got.Value <= got.High) {
			t.Errorf("%d answers: %+v", len(answers), got)
		}
	}
}

// Wilson's interval for 4 of 10 is 0.1682 … 0.6873 (Newcombe, Statistics in Medicine
// 1998, method 3).
func TestExact(t *testing.T) {
	wanted := []string{"a", "b", "c", "d", "e", "f", "g", "h", "i", "j"}
	answers := []string{"a", " b\n", "c", "d", "E", "", "gg", "x", "y", "z"}
	got := Exact(answers, wanted)
	if got.Value != 0.4 || got.N != 10 || math.Abs(got.Low-0.16818) > 1e-4 || math.Abs(got.High-0.68733) > 1e-4 {
		t.Errorf("%+v", got)
	}
	if none := Exact(nil, nil); !math.IsNaN(none.Value) || !math.IsNaN(none.Low) {
		t.Errorf("%+v", none)
	}
	if none := ChrF(nil, nil); !math.IsNaN(none.Value) || !math.IsNaN(none.High) {
		t.Errorf("%+v", none)
	}
}
