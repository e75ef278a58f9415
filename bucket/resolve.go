package bucket

import (
	"fmt"

	"gonum.org/v1/gonum/mat"
)

// resolveReady resolves group i, whose gradients are written. A failure is kept for
// Finish.
func (r *Resolver) resolveReady(i int) {
	group := r.store.Layout.Groups[i]
	if w := r.groups[i].static; w != nil {
		r.reports[i] = r.staticReport(i)
		if r.applies() {
			r.apply(i, nil)
		}
		return
	}
	if err := r.resolve(i); err != nil {
		r.fail(fmt.Errorf("bucket: %q: %w", group.Name, err))
	}
}

// staticReport is the report of a group of static weights, or of none.
func (r *Resolver) staticReport(i int) BucketReport {
	group := r.store.Layout.Groups[i]
	return BucketReport{Name: group.Name, Size: group.Size, Weights: r.groups[i].static}
}

// resolve waits for group i's Gram, solves it and combines its gradients.
func (r *Resolver) resolve(i int) error {
	s, err := r.solution(i, nil)
	if err != nil {
		return err
	}
	if r.applies() {
		r.apply(i, &s)
		return nil
	}
	r.combineGroup(r.store.Layout.Groups[i], s)
	return nil
}

// solution waits for group i's Gram, solves it, unless weights are given, and reports on it.
func (r *Resolver) solution(i int, weights []float64) (Solution, error) {
	sum, err := r.gramOf(i)
	if err != nil {
		return Solution{}, err
	}
	return r.solutionOf(r.problem(i, sum), weights)
}

// solutionOf solves a group, unless weights are given, and reports on it.
func (r *Resolver) solutionOf(p Problem, weights []float64) (s Solution, err error) {
	s.Weights = weights
	if weights == nil {
		if s, err = r.solve(p); err != nil {
			return Solution{}, err
		}
	}
	r.reports[p.Group] = newBucketReport(r.store.Layout.Groups[p.Group], p, s, r.opt.Metric == nil)
	return s, nil
}

// combineGroup makes the gradients of a group's parameters.
func (r *Resolver) combineGroup(u ResolveGroup, s Solution) {
	e := r.store.Engine
	e.Dev.Span("combine")
	for _, b := range u.Buckets {
		for _, p := range r.store.Layout.Buckets[b].Params {
			r.combine(p, s)
		}
	}
	e.Dev.Span("backward")
}

// gramOf waits for the Gram of group i that was started. Commands recorded since its readback are
// submitted first, so that the device is busy
// meanwhile.
func (r *Resolver) gramOf(i int) ([]float64, error) {
	r.store.Engine.Dev.Span("solve")
	r.store.Engine.Dev.Flush()
	return r.groups[i].gram.Wait()
}

// problem is group i's, from the Gram of its rows.
func (r *Resolver) problem(i int, sum []float64) Problem {
	p := Problem{Group: i, G: mat.NewSymDense(r.rows(), sum)}
	if r.opt.Halves {
		p.Halves, p.G = p.G, foldHalves(p.G)
	}
	return p
}

// foldHalves is the Gram of the sums of rows 2m and 2m+1.
func foldHalves(h *mat.SymDense) *mat.SymDense {
	m := h.SymmetricDim() / 2
	g := mat.NewSymDense(m, nil)
	for i := range m {
		for j := range i + 1 {
			g.SetSym(i, j, h.At(2*i, 2*j)+h.At(2*i, 2*j+1)+h.At(2*i+1, 2*j)+h.At(2*i+1, 2*j+1))
		}
	}
	return g
}

// solve calls the solver and rounds its weights to the values that Combine applies.
func (r *Resolver) solve(p Problem) (Solution, error) {
	in := p // the solver may keep or change the matrices
	in.G = mat.NewSymDense(p.G.SymmetricDim(), nil)
	in.G.CopySym(p.G)
	s, err := r.opt.Solver.Solve(in)
	if err != nil {
		return s, fmt.Errorf("solve: %w", err)
	}
	if s.Elements != nil {
		return s, nil
	}
	if len(s.Weights) != r.opt.Objectives {
		return s, fmt.Errorf("solve: %d weights for %d objectives", len(s.Weights), r.opt.Objectives)
	}
	out := make([]float64, len(s.Weights))
	for m, w := range s.Weights {
		out[m] = float64(float32(w))
		if !finite(out[m]) {
			return s, fmt.Errorf("solve: weight %d is %v", m, w)
		}
		if out[m] != 0 && !finite(p.G.At(m, m)) {
			return s, fmt.Errorf("solve: weight %v for objective %d, whose gradient is not finite", w, m)
		}
	}
	return Solution{Weights: out}, nil
}

// combine makes one parameter's gradient.
func (r *Resolver) combine(p Place, s Solution) {
	if s.Elements != nil {
		r.combineElements(p, *s.Elements)
		return
	}
	if r.isGhost(p.Param) {
		weights := s.Weights
		if r.opt.Halves {
			weights = twice(weights)
		}
		r.combineGhost(p, weights)
		return
	}
	if r.isTokens(p.Param, r.micro) {
		r.combineTokens(p, s)
		return
	}
	w := r.rowWeights(s.Weights)
	for _, x := range r.rowParts(p) {
		r.store.Engine.Combine(flatten(r.inPlacePart(p, x)).Objective(0), flatten(x.TaskGrads), w, false)
	}
}

// rowWeights are the weights of the rows.
func (r *Resolver) rowWeights(weights []float64) []float32 {
	if r.opt.Halves {
		weights = twice(weights)
	}
	w := make([]float32, len(weights))
	for m, x := range weights {
		w[m] = float32(x)
	}
	return w
}

// twice gives both halves of every objective its weight.
func twice(weights []float64) []float64 {
	var out []float64
	for _, w := range weights {
		out = append(out, w, w)
	}
	return out
}
