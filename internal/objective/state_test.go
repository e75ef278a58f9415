package objective

import (
	"encoding/json"
	"testing"

	"concord/bucket"
	"concord/moo"
)

// A snapshot shares nothing with the objective, and neither do the states to which a
// step is taken back: debias and the methods change what they carry in place.
func TestSnapshotSharesNothing(t *testing.T) {
	o := &Objective{shared: true, rules: []rule{{name: "mgda", needs: moo.NeedsGram}}, groups: []bucket.ResolveGroup{{Name: "a"}},
		langs: []string{"x", "y"},
		byGroup: []groupState{{Weights: []float64{1, 2}, Signal: []float64{3, 4},
			State: moo.State{Scalar: map[string]float64{"s": 5}, Objective: map[string][]float64{"o": {6, 7}},
				Pair: map[string][]float64{"p": {1, 2, 3, 4}}}}}}
	change := func() {
		u := o.byGroup[0]
		u.Weights[0], u.Signal[0], u.State.Scalar["s"], u.State.Objective["o"][0], u.State.Pair["p"][0] = 9, 9, 9, 9, 9
	}
	text := func(s State) string {
		b, err := json.Marshal(s)
		if err != nil {
			t.Fatal(err)
		}
		return string(b)
	}
	k := o.Snapshot()
	before := text(k)
	o.Begin(1, []int{1, 1}, nil, nil)
	for name, back := range map[string]func(){
		"undo":    func() { o.Undo(1) },
		"restart": func() { o.Restart([]int{1, 1}, nil) },
		"counted": func() { o.Counted(0, []int{1, 1}, []float64{1, 1}) },
	} {
		change()
		if text(k) != before {
			t.Fatalf("%s: the snapshot has changed with the objective", name)
		}
		if back(); text(o.Snapshot()) != before {
			t.Fatalf("%s: the state is not that before the step", name)
		}
	}
	if err := o.Restore(k); err != nil {
		t.Fatal(err)
	}
	if change(); text(k) != before {
		t.Error("the objective goes on in the snapshot that it was restored from")
	}
}

// A state of the method that famo once was is told from one of famo and of famo-lagged.
func TestOfAnotherFAMO(t *testing.T) {
	for name, c := range map[string]struct {
		method, state string
		other         bool
	}{
		"then":     {"famo", `{"units": {"*": {"state": {"objective": {"famo.log": [1, 2]}}}}}`, true},
		"gone on":  {"famo", `{"before": [1, 2], "after": [1, 2], "units": {"*": {"state": {"objective": {"famo.log": [1, 2]}}}}}`, false},
		"now":      {"famo", `{"before": [1, 2], "after": [1, 2], "units": {"*": {"state": {"objective": {"famo.xi": [1, 2]}}}}}`, false},
		"at first": {"famo", `{}`, false},
		"lagged":   {"famo-lagged", `{"units": {"*": {"state": {"objective": {"famo.log": [1, 2]}}}}}`, false},
	} {
		o, err := New(Options{Langs: []string{"x", "y"}, Tokens: []float64{1, 1}, Method: c.method, Every: 1})
		if err != nil {
			t.Fatal(err)
		}
		var s State
		if err := json.Unmarshal([]byte(c.state), &s); err != nil {
			t.Fatal(err)
		}
		if o.OfAnotherFAMO(s) != c.other {
			t.Errorf("%s: of another famo: %v", name, !c.other)
		}
	}
}
