package moo

import (
	"errors"
	"fmt"
	"math"
	"slices"

	"gonum.org/v1/gonum/mat"
)

// wrapper is a method around another.
type wrapper interface {
	Method
	inner() Method
}

// Wrapping is the settings that can be put around any method.
type Wrapping struct {
	Normalise string  // "none" or "", "l2", "loss", "loss+": see Normalise
	EMA       float64 // α of EMA; 0 is none
	Project   string  // "dual-cone", "" none: see Project
	Control   string  // "norm", "direction", "" neither: see Control
}

// Wrap puts around m, from the inside to the outside: the preference, for
// methods that make no use of it themselves; Normalise; EMA; Project; Control. It fails on values
// out of range and on element-wise methods, which have no weights to work on.
func Wrap(m Method, w Wrapping) (Method, error) {
	plain := (w.Normalise == "" || w.Normalise == normaliseNone) && w.EMA == 0 && w.Project == "" && w.Control == ""
	if err := hasWeights(m); err != nil {
		if plain {
			return m, nil
		}
		return nil, err
	}
	if info, ok := Lookup(m.Name()); ok && !info.UsesPreference && !isGradientFree(m) {
		m = Prefer(m)
	}
	m, err := Normalise(m, w.Normalise)
	if err != nil {
		return nil, err
	}
	if m, err = EMA(m, w.EMA); err != nil {
		return nil, err
	}
	if m, err = Project(m, w.Project); err != nil {
		return nil, err
	}
	return Control(m, w.Control)
}

// Prefer gives a meaning to the preference for a method that makes none: the
// method resolves the gradients M u_m g_m with equal preferences.
// Methods that look at no gradients have a meaning for it already, and are
// returned as they are.
func Prefer(m Method) Method {
	if isGradientFree(m) {
		return m
	}
	return prefer{m}
}

type prefer struct{ m Method }

func (p prefer) Name() string  { return p.m.Name() }
func (p prefer) inner() Method { return p.m }

func (p prefer) Weights(in Input) (Result, error) {
	n := len(in.Preference)
	d := make([]float64, n)
	for i, u := range in.Preference {
		d[i] = float64(n) * u
	}
	if slices.Min(d) == slices.Max(d) {
		return p.m.Weights(in)
	}
	in.Preference = slices.Repeat([]float64{1 / float64(n)}, n)
	return scaled(p.m, in, d)
}

// scaled lets m resolve the gradients d_m g_m, d ≥ 0, and returns the weights of
// the g_m. Rows with d = 0 get weight 0.
func scaled(m Method, in Input, d []float64) (Result, error) {
	used := make([]int, 0, len(d))
	for i, x := range d {
		if x > 0 {
			used = append(used, i)
		}
	}
	top := slices.Max(d)
	g := mat.NewSymDense(len(d), nil)
	for i := range d {
		for j := range i + 1 {
			g.SetSym(i, j, in.G.At(i, j)*(d[i]/top)*(d[j]/top))
		}
	}
	in.G = g
	// Solve drops the rows that became zero and divides by the trace again.
	r, err := solveInner(m, in)
	if err != nil {
		return Result{}, err
	}
	w := make([]float64, len(d))
	for _, i := range used {
		w[i] = r.Weights[i] * d[i]
	}
	return Result{Weights: w, Diagnostics: r.Diagnostics, State: r.State}, nil
}

// solveInner is Solve without the outer prefix of errors.
func solveInner(m Method, in Input) (Result, error) {
	r, err := Solve(m, in)
	if err != nil {
		if cause := errors.Unwrap(err); cause != nil {
			err = cause
		}
		return Result{}, err
	}
	own := map[string]float64{}
	for k, v := range r.Diagnostics {
		if !slices.Contains(commonDiagnostics, k) {
			own[k] = v
		}
	}
	r.Diagnostics = own
	return r, nil
}

// commonDiagnostics are Solve's own, which are about the gradients it was given.
var commonDiagnostics = []string{"active", "masked", "zero", "repaired", "norm", "pairs", "negative", "min_cosine", "min_alignment"}

const normaliseNone = "none"

// Normalise resolves gradients brought to comparable lengths, as MGDA's authors
// do: kind "l2" by 1/|g_m|, "loss" by 1/L_m, "loss+" by 1/(L_m |g_m|) (Sener and
// Koltun 2018). The factors are relative to their mean over the objectives
// (geometric), so that equal gradients and losses are left as they are. A loss
// that is not known counts as the mean of the others. "none" and "" are m itself.
func Normalise(m Method, kind string) (Method, error) {
	switch kind {
	case "", normaliseNone:
		return m, nil
	case "l2", "loss", "loss+":
	default:
		return nil, fmt.Errorf("moo: normalise: want one of \"none\", \"l2\", \"loss\", \"loss+\", got %q", kind)
	}
	if isGradientFree(m) {
		return nil, fmt.Errorf("moo: %s looks at no gradients: there is nothing to normalise", m.Name())
	}
	if err := hasWeights(m); err != nil {
		return nil, err
	}
	return normalise{m, kind}, nil
}

type normalise struct {
	m    Method
	kind string
}

func (n normalise) Name() string  { return n.m.Name() }
func (n normalise) inner() Method { return n.m }

func (n normalise) Weights(in Input) (Result, error) {
	losses, known := in.knownLosses()
	d := make([]float64, in.G.SymmetricDim())
	mean := 0.0
	for i := range d { // in logarithms
		if n.kind != "loss" {
			d[i] -= 0.5 * math.Log(in.G.At(i, i))
		}
		if n.kind != "l2" && known {
			d[i] -= math.Log(losses[i])
		}
		mean += d[i] / float64(len(d))
	}
	for i := range d {
		d[i] = math.Exp(min(300, max(-300, d[i]-mean)))
	}
	return scaled(n.m, in, d)
}

// EMA smooths a method's weights over the steps: λ = α λ_before + (1−α) λ_new,
// the momentum of CR-MOGM (Zhou et al., On the Convergence of Stochastic
// Multi-Objective Gradient Manipulation, NeurIPS 2022). The first weights of an
// objective are taken as they come. An objective that is masked in a step has
// weight 0 in it and keeps its λ; the others' are not made up for it, so that the
// weights of such a step may have another sum. α = 0 is m itself, α = 1 keeps the first
// weights for ever.
func EMA(m Method, alpha float64) (Method, error) {
	if !(alpha >= 0 && alpha <= 1) {
		return nil, fmt.Errorf("moo: ema: %v is outside 0 … 1", alpha)
	}
	if alpha == 0 {
		return m, nil
	}
	for w, ok := m.(wrapper); ok; w, ok = w.inner().(wrapper) {
		if _, twice := w.(ema); twice {
			return nil, fmt.Errorf("moo: ema: %s is smoothed already", m.Name())
		}
	}
	if err := hasWeights(m); err != nil {
		return nil, err
	}
	return ema{m, alpha}, nil
}

// hasWeights refuses element-wise methods.
func hasWeights(m Method) error {
	if _, ok := m.(Elementwise); ok {
		return fmt.Errorf("moo: %s works element by element: it has no weights to normalise or smooth", m.Name())
	}
	return nil
}

type ema struct {
	m     Method
	alpha float64
}

func (e ema) Name() string  { return e.m.Name() }
func (e ema) inner() Method { return e.m }

func (e ema) Weights(in Input) (Result, error) {
	r, err := e.m.Weights(in)
	if err != nil {
		return Result{}, err
	}
	n := len(r.Weights)
	s := r.State.clone()
	seen, w := in.State.objective("ema.seen", n, 0), in.State.objective("ema.weights", n, 0)
	for i := range w {
		if seen[i] == 0 {
			w[i] = r.Weights[i]
		}
		w[i] = e.alpha*w[i] + (1-e.alpha)*r.Weights[i]
		seen[i] = 1
	}
	s.Objective["ema.seen"], s.Objective["ema.weights"] = seen, w
	return Result{Weights: slices.Clone(w), Diagnostics: r.Diagnostics, State: s}, nil
}
