package bucket

import (
	"slices"
	"testing"

	"concord/internal/param"
	"concord/tensor"
)

// collector is an Updater that keeps what it is given.
type collector struct {
	t      *testing.T
	e      *tensor.Engine
	pieces int
	values []float32
}

func (c *collector) Group(int, BucketReport, func() (float64, error)) error { return nil }

func (c *collector) Again(int) error { return nil }

func (c *collector) Apply(_ Place, gradient Pieces) { gradient(c.apply) }

func (c *collector) apply(at int, g tensor.Tensor) {
	if c.pieces++; at != len(c.values) {
		c.t.Errorf("piece %d begins at %d, not %d", c.pieces, at, len(c.values))
	}
	v, err := c.e.Download(g)
	if err != nil {
		c.t.Fatal(err)
	}
	c.values = append(c.values, v...)
}

// A gradient larger than a piece comes in one where the updater needs it so, in pieces
// where not, with the same values.
func TestAppliedWhole(t *testing.T) {
	e := testEngine(t)
	m := newModel(t, e, false)
	m.params = []Param{declare("w", param.Linear, 0, appliedPiece/1024+6, 1024)}
	var got [2]collector
	for i, whole := range []bool{false, true} {
		s := m.store("tensor")
		got[i] = collector{t: t, e: e}
		r := m.resolverWith(s, Options{Solver: solver(testSolver), Update: &got[i], Whole: whole})
		m.backward(r, 1)
		finish(t, r)
		r.Release()
		s.Release()
	}
	if got[0].pieces != 2 || got[1].pieces != 1 {
		t.Errorf("%d pieces, and %d where it must be whole", got[0].pieces, got[1].pieces)
	}
	if n := m.params[0].Size(); len(got[1].values) != n || !slices.Equal(got[0].values, got[1].values) {
		t.Errorf("%d and %d values of %d, or others", len(got[0].values), len(got[1].values), n)
	}
}
