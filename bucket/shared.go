package bucket

import (
	"encoding/json"
	"errors"
	"fmt"
	"math"

	"gonum.org/v1/gonum/mat"
)

// SharedSolver is a Solver whose state travels with the groups: the owner of a
// group solves, all others import the result, and any of them may own the
// group next.
type SharedSolver interface {
	Solver
	// Counted tells the tokens and losses of a group's rows, before StaticWeights and Solve:
	// supervised tokens and sums of losses by row.
	Counted(group int, tokens []int, losses []float64)
	// Export is the group's state after the step, Import sets it.
	Export(group int) ([]byte, error)
	Import(group int, state []byte) error
}

// sharedGroup is an owner's message on a group besides its gradient.
type sharedGroup struct {
	G         []number        `json:"g,omitempty"` // lower triangle
	Halves    []number        `json:"halves,omitempty"`
	Weights   []float64       `json:"weights,omitempty"`
	Norm2     number          `json:"norm2"`
	Negative  int             `json:"negative,omitempty"`
	Pairs     int             `json:"pairs,omitempty"`
	MinCosine number          `json:"min_cosine,omitempty"`
	NonFinite []int           `json:"non_finite,omitempty"`
	State     json.RawMessage `json:"state,omitempty"`
}

// number is a float64 whose NaN and infinities are null, which reads as NaN.
type number float64

func (n number) MarshalJSON() ([]byte, error) {
	if !finite(float64(n)) {
		return []byte("null"), nil
	}
	return json.Marshal(float64(n))
}

func (n *number) UnmarshalJSON(b []byte) error {
	if string(b) == "null" {
		*n = number(math.NaN())
		return nil
	}
	return json.Unmarshal(b, (*float64)(n))
}

func triangle(g *mat.SymDense) (out []number) {
	if g == nil {
		return nil
	}
	for i := range g.SymmetricDim() {
		for j := range i + 1 {
			out = append(out, number(g.At(i, j)))
		}
	}
	return out
}

// square is the n×n matrix of a lower triangle, nil for none.
func square(x []number, n int) (*mat.SymDense, error) {
	if len(x) == 0 {
		return nil, nil
	}
	if len(x) != n*(n+1)/2 {
		return nil, fmt.Errorf("%d values for the Gram of %d rows", len(x), n)
	}
	g := mat.NewSymDense(n, nil)
	for i, k := 0, 0; i < n; i++ {
		for j := range i + 1 {
			g.SetSym(i, j, float64(x[k]))
			k++
		}
	}
	return g, nil
}

// exportGroup is the message on a group that goes with its first slice, whose squared norm is given.
func (r *Resolver) exportGroup(i int, norm2 float64) ([]byte, error) {
	state, err := r.opt.Solver.(SharedSolver).Export(i)
	if err != nil {
		return nil, err
	}
	b := r.reports[i]
	return json.Marshal(sharedGroup{G: triangle(b.G), Halves: triangle(b.Halves), Weights: b.Weights, Norm2: number(norm2),
		Negative: b.Negative,
		Pairs:    b.Pairs, MinCosine: number(b.MinCosine), NonFinite: b.NonFinite, State: state})
}

// CheckShared refuses an owner's message that cannot be: of so many objectives, where tokens, if
// not nil, are the step's by objective. state refuses the solver's part. A message that passes can
// be imported, and does not end a step.
func CheckShared(meta []byte, objectives int, tokens []int, state func([]byte) error) error {
	var s sharedGroup
	if err := json.Unmarshal(meta, &s); err != nil {
		return err
	}
	_, err := square(s.G, objectives)
	_, halves := square(s.Halves, 2*objectives)
	switch pairs := objectives * (objectives - 1) / 2; {
	case err != nil || halves != nil:
		return errors.Join(err, halves)
	case s.Weights != nil && len(s.Weights) != objectives:
		return fmt.Errorf("%d weights for %d objectives", len(s.Weights), objectives)
	case !(s.Norm2 >= 0) || math.IsInf(float64(s.Norm2), 0):
		return fmt.Errorf("a gradient's |g|² of %g", s.Norm2)
	case s.Pairs < 0 || s.Pairs > pairs || s.Negative < 0 || s.Negative > s.Pairs:
		return fmt.Errorf("%d of %d pairs of %d objectives", s.Negative, s.Pairs, objectives)
	}
	if err := s.masked(objectives, tokens); err != nil || s.State == nil {
		return err
	}
	return state(s.State)
}

// masked refuses to leave out objectives that there are not, or all that a step has.
func (s *sharedGroup) masked(objectives int, tokens []int) error {
	present := objectives
	if len(tokens) == objectives {
		present = 0
		for _, n := range tokens {
			if n > 0 {
				present++
			}
		}
	}
	for i, m := range s.NonFinite {
		if m < 0 || m >= objectives || i > 0 && m <= s.NonFinite[i-1] {
			return fmt.Errorf("objectives %v of %d are not finite", s.NonFinite, objectives)
		}
	}
	if len(s.NonFinite) >= max(1, present) {
		return fmt.Errorf("all of %d objectives are not finite", present)
	}
	return nil
}

// importSlice takes the message on a slice; that on a group's first is on the group.
func (r *Resolver) importSlice(slice int, meta []byte) error {
	var s sharedGroup
	if err := json.Unmarshal(meta, &s); err != nil {
		return err
	}
	if r.shared.norm2[slice] = float64(s.Norm2); !r.shared.leads(slice) {
		return nil
	}
	return r.importGroup(r.shared.slices[slice].Group, s)
}

func (r *Resolver) importGroup(i int, s sharedGroup) error {
	u := r.store.Layout.Groups[i]
	g, err := square(s.G, r.opt.Objectives)
	if err != nil {
		return err
	}
	h, err := square(s.Halves, 2*r.opt.Objectives)
	if err != nil {
		return err
	}
	if s.Weights != nil && len(s.Weights) != r.opt.Objectives {
		return fmt.Errorf("%d weights for %d objectives", len(s.Weights), r.opt.Objectives)
	}
	r.reports[i] = BucketReport{Name: u.Name, Size: u.Size, G: g, Halves: h, Weights: s.Weights, Norm2: float64(s.Norm2),
		Negative: s.Negative,
		Pairs:    s.Pairs, MinCosine: float64(s.MinCosine), NonFinite: s.NonFinite, normed: true}
	if s.State == nil { // resolved on each machine by itself
		return nil
	}
	return r.opt.Solver.(SharedSolver).Import(i, s.State)
}
