package moo

import (
	"errors"
	"fmt"
	"math"
	"slices"

	"gonum.org/v1/gonum/mat"
)

// fair: a > 0 with G a = M u ⊙ a^(−p): every objective's gain ⟨g_m, d⟩ is the
// marginal α-fair utility of its weight, p = 1/α. nash-mtl is p = 1.
//
// Papers: Navon et al., Multi-Task Learning as a Bargaining Game, ICML 2022
// (arXiv:2202.01017), whose solution maximises Σ log⟨g_m, d⟩; Ban and Ji, Fair
// Resource Allocation in Multi-Task Learning, ICML 2024 (arXiv:2402.15638).
// a is the minimum of the strictly convex ½ aᵀG a − Σ M u a^(1−p)/(1−p)
// (− Σ M u log a for p = 1), found by damped Newton steps instead of the papers'
// sequences of approximations.
// Options: alpha (fairgrad, default 1; 0 is mean by definition), rescale: "none"
// is the paper's scale, where |d|² = M for nash-mtl, "mean" scales the weights to
// sum to one. The papers' cap of |d| (max_norm) is optim.clip's business.
// Guarantees: ⟨g_m, d⟩ > 0 for every m where no combination of the gradients
// vanishes. At Pareto-stationary points there is no solution: G gets a ridge of
// float32's rounding there, and d is short and may be anything.
type fair struct {
	name string
	p    float64 // +Inf: mean
	mean bool
}

func nashEntry() entry {
	return entry{
		Info: Info{
			Name: "nash-mtl", Needs: NeedsGram, UsesPreference: true, Rule: "w = a > 0 with G a = M u/a",
			Paper:      "Navon et al. 2022, arXiv:2202.01017",
			Guarantees: "non-conflicting away from Pareto-stationary points; |d|² = M on the paper's scale; not defined at them",
			Options:    []Option{rescaleOption("scales the weights to sum to one")},
		},
		build: func(v values) (Method, error) { return fair{"nash-mtl", 1, v.word(rescaleName) == rescaleMean}, nil },
	}
}

func fairgradEntry() entry {
	return entry{
		Info: Info{
			Name: "fairgrad", Needs: NeedsGram, UsesPreference: true, Rule: "w = a > 0 with G a = M u a^(−1/α)",
			Paper:      "Ban and Ji 2024, arXiv:2402.15638",
			Guarantees: "non-conflicting away from Pareto-stationary points; α = 1 is nash-mtl, α = 0 mean",
			Options: []Option{
				{Name: "alpha", Default: 1.0, Min: 0, Max: 100, Doc: "fairness; 0 is mean, 1 nash-mtl"},
				rescaleOption("scales the weights to sum to one"),
			},
		},
		build: func(v values) (Method, error) {
			alpha := v.number("alpha")
			if alpha > 0 && alpha < 0.02 {
				return nil, fmt.Errorf("moo: fairgrad: option \"alpha\": %v: want 0, or 0.02 and more", alpha)
			}
			return fair{"fairgrad", 1 / alpha, v.word(rescaleName) == rescaleMean}, nil
		},
	}
}

func (f fair) Name() string { return f.name }

func (f fair) Weights(in Input) (Result, error) {
	if math.IsInf(f.p, 1) {
		return Result{Weights: slices.Clone(in.Preference)}, nil
	}
	// In b = a ⊙ |g| the problem is one of cosines: K b = r ⊙ b^(−p), r = M u |g|^(p−1).
	k, norm := cosines(in.G)
	n := len(norm)
	q := fairProblem{k: k, r: make([]float64, n), p: f.p}
	top := slices.Max(norm)
	for i := range q.r {
		q.r[i] = float64(n) * in.Preference[i] * math.Pow(max(norm[i]/top, 1e-30), f.p-1)
	}
	stationary := q.ridge()
	b, iterations, err := q.solve()
	if err != nil {
		return Result{}, err
	}
	w := make([]float64, n)
	for i := range w {
		w[i] = b[i] / (norm[i] / top)
	}
	if f.mean {
		w = unitSum(w)
	} else { // G a = M u a^(−p) for the real G: scale is trace^(1/2)·top for norms
		s := in.root * top
		w = scale(w, math.Pow(s, -2/(1+f.p)))
	}
	return Result{Weights: w, Diagnostics: map[string]float64{"iterations": float64(iterations), "stationary": stationary}}, nil
}

// fairProblem is K b = r ⊙ b^(−p), b > 0.
type fairProblem struct {
	k [][]float64
	r []float64
	p float64
}

// ridge adds float32's rounding to the diagonal where a combination of the
// directions vanishes, so that the minimum exists; it returns 1 then, else 0.
func (q fairProblem) ridge() float64 {
	w := newSimplexQP(q.k, make([]float64, len(q.r))).solve()
	n := float64(len(q.r))
	if dot(w, mulVec(q.k, w)) > n*epsilon32*epsilon32 && dot(w, mulVec(q.k, w)) > 1e-9 {
		return 0
	}
	for i := range q.k {
		q.k[i][i] += n * epsilon32
	}
	return 1
}

// value is ½ bᵀK b − Σ r b^(1−p)/(1−p).
func (q fairProblem) value(b []float64) float64 {
	v := 0.5 * dot(b, mulVec(q.k, b))
	for i, x := range b {
		if q.p == 1 {
			v -= q.r[i] * math.Log(x)
		} else {
			v -= q.r[i] * math.Pow(x, 1-q.p) / (1 - q.p)
		}
	}
	return v
}

// solve makes damped Newton steps from the solution for orthogonal gradients.
func (q fairProblem) solve() ([]float64, int, error) {
	n := len(q.r)
	b := make([]float64, n)
	for i := range b {
		b[i] = math.Pow(q.r[i], 1/(1+q.p))
	}
	value, last := q.value(b), false
	for it := range 500 {
		step, decrement, ok := q.newton(b)
		if !ok {
			return nil, it, errors.New("the Newton system is singular: the gradients nearly cancel")
		}
		if decrement <= 1e-28*(1+math.Abs(value)) {
			return b, it, nil
		}
		t := 1.0
		for i := range b { // stay positive
			if step[i] < 0 {
				t = min(t, -0.95*b[i]/step[i])
			}
		}
		if decrement < 1e-9*(1+math.Abs(value)) { // quadratic convergence, where rounding hides the fall of the value
			if last {
				return b, it, nil
			}
			last = decrement < 1e-18*(1+math.Abs(value))
			for i := range b {
				b[i] += t * step[i]
			}
			value = q.value(b)
			continue
		}
		next, ok := q.search(b, step, t, value, decrement)
		if !ok {
			return b, it, nil // rounding allows no further progress
		}
		b, value = next, q.value(next)
	}
	return b, 500, nil
}

// search halves the step until the objective falls enough.
func (q fairProblem) search(b, step []float64, t, value, decrement float64) ([]float64, bool) {
	for range 60 {
		next := make([]float64, len(b))
		for i := range b {
			next[i] = b[i] + t*step[i]
		}
		if v := q.value(next); v < value-1e-4*t*decrement || v < value && t*decrement < 1e-12*math.Abs(value) {
			return next, true
		}
		t /= 2
	}
	return nil, false
}

// newton is the step −H⁻¹∇ and ∇ᵀH⁻¹∇. H = K + diag(p r b^(−p−1)) is scaled to
// unit diagonal before it is factorised, as b may differ by orders.
func (q fairProblem) newton(b []float64) (step []float64, decrement float64, ok bool) {
	n := len(b)
	grad := mulVec(q.k, b)
	d := make([]float64, n)
	h := mat.NewSymDense(n, nil)
	for i, x := range b {
		pull := q.r[i] * math.Pow(x, -q.p)
		grad[i] -= pull
		d[i] = 1 / math.Sqrt(q.k[i][i]+q.p*pull/x)
	}
	for i := range n {
		for j := range i {
			h.SetSym(i, j, q.k[i][j]*d[i]*d[j])
		}
		h.SetSym(i, i, 1)
	}
	var chol mat.Cholesky
	if !chol.Factorize(h) {
		return nil, 0, false
	}
	right := mat.NewVecDense(n, nil)
	for i := range n {
		right.SetVec(i, -grad[i]*d[i])
	}
	var x mat.VecDense
	if err := chol.SolveVecTo(&x, right); err != nil {
		if c := mat.Condition(0); !errors.As(err, &c) { // ill-conditioned: the step is still one of descent
			return nil, 0, false
		}
	}
	step = make([]float64, n)
	for i := range n {
		step[i] = x.AtVec(i) * d[i]
		decrement -= grad[i] * step[i]
	}
	return step, decrement, decrement >= 0 && finite(decrement)
}
