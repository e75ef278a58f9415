package exchange

import (
	"slices"
	"testing"

	"concord/bucket"
)

// An outer step that fails in its middle, after some groups, leaves no trace: made again
// it comes to the same bits as one that did not fail. Its velocity moves at its end.
func TestOuterUpdateFailsInTheMiddle(t *testing.T) {
	groups := []bucket.ResolveGroup{{Size: 2}, {Size: 1}}
	gradients := [][][]float32{{{1, -2}, {0.3}}, {{0.1, 0.7}, {-5}}, {{-4, 0.01}, {2}}}
	run := func(failures int) (weights [][]float32, o nesterov) {
		o = newNesterov(0.7, 0.9, groups)
		weights = [][]float32{{1, 2}, {3}}
		for _, g := range gradients {
			for range failures { // the second group's gradient cannot be read
				before := slices.Clone(o.velocity[0])
				o.update(0, slices.Clone(weights[0]), g[0])
				if !slices.Equal(o.velocity[0], before) {
					t.Errorf("the velocity was %v and is %v in the middle of a step", before, o.velocity[0])
				}
			}
			for u := range groups {
				o.update(u, weights[u], g[u])
			}
			o.commit()
		}
		return weights, o
	}
	want, calm := run(0)
	got, failed := run(2)
	for u := range groups {
		if !slices.Equal(got[u], want[u]) || !slices.Equal(failed.velocity[u], calm.velocity[u]) {
			t.Errorf("group %d: weights %v, velocity %v; want %v, %v", u, got[u], failed.velocity[u], want[u], calm.velocity[u])
		}
	}
	one := newNesterov(0.5, 0.5, groups[1:]) // v = 2, w = 1 − 0.5 (2 + 0.5·2); then v = 0.5·2 + 4, w − 0.5 (4 + 0.5·5)
	w := []float32{1}
	for _, g := range []float32{2, 4} {
		one.update(0, w, []float32{g})
		one.commit()
	}
	if w[0] != -3.75 || one.velocity[0][0] != 5 {
		t.Errorf("weight %v, velocity %v", w[0], one.velocity[0][0])
	}
}
