package htmlreport

import (
	"math"

	"gonum.org/v1/gonum/mat"

	"concord/internal/report"
	"concord/moo"
)

// snapshot has the figures of one Gram.
type snapshot struct {
	Step    int              `json:"step"`
	Metric  string           `json:"metric"`
	Gap     report.Float     `json:"gap"` // of the sum of the buckets' Grams
	Cosines []report.Float   `json:"cos"` // of that sum: M·M
	Errors  []report.Float   `json:"err,omitempty"`
	Buckets []bucketSnapshot `json:"buckets"`
}

// bucketSnapshot is one bucket's.
type bucketSnapshot struct {
	Name    string         `json:"name"`
	Cosines []report.Float `json:"cos"`            // M·M, row-major; null without a gradient
	Errors  []report.Float `json:"err,omitempty"`  // M·M standard errors of the cosines; absent where not measured
	Self    []report.Float `json:"self,omitempty"` // by language
	Angle   report.Float   `json:"angle"`          // degrees between d and the mean gradient
	Ratio   report.Float   `json:"ratio"`          // |d| over that of the mean gradient
	Gap     report.Float   `json:"gap"`            // least norm in the convex hull over the mean norm of the gradients
}

// runCosines is the mean cosines over a run, of one bucket or of all together.
type runCosines struct {
	Name  string            `json:"name"`  // "" of all buckets together
	Pairs []report.Estimate `json:"pairs"` // lower triangle row by row; intervals for all pairs together
	Text  []string          `json:"text"`
}

// overRun sums up the cosines of a run: of whole gradients from its steps, of buckets
// from its snapshots.
func overRun(r *Run) []runCosines {
	langs := r.Header.Languages
	var whole report.Cosines
	for _, s := range r.Steps {
		whole.Add(s)
	}
	sums, names := map[string]*report.Cosines{}, []string{}
	for _, g := range r.Grams {
		for _, b := range g.Buckets {
			m, ok := matrix(b.G, len(langs))
			if !ok {
				continue
			}
			if sums[b.Name] == nil {
				sums[b.Name] = &report.Cosines{}
				names = append(names, b.Name)
			}
			sums[b.Name].Add(report.Step{Cosines: lower(cosines(m), len(langs))})
		}
	}
	var out []runCosines
	if c := whole.Conflict(langs); c != nil {
		out = append(out, runCosines{"", whole.Pairs(), c.Text()})
	}
	for _, name := range names {
		if c := sums[name].Conflict(langs); c != nil && len(out) > 0 {
			out = append(out, runCosines{name, sums[name].Pairs(), c.Text()})
		}
	}
	for _, x := range out {
		for i, e := range x.Pairs {
			x.Pairs[i] = report.Estimate{Value: round(float64(e.Value), 4), Low: round(float64(e.Low), 4), High: round(float64(e.High), 4)}
		}
	}
	return out
}

// lower is the lower triangle of an n × n matrix, without the diagonal.
func lower(m []report.Float, n int) []report.Float {
	var out []report.Float
	for i := range n {
		out = append(out, m[i*n:i*n+i]...)
	}
	return out
}

// derive computes the figures of a snapshot.
func derive(g report.Gram, langs int) snapshot {
	out := snapshot{Step: g.Step, Metric: g.Metric}
	sum, contrast := mat.NewSymDense(langs, nil), make([]report.Float, langs*langs)
	for _, b := range g.Buckets {
		m, ok := matrix(b.G, langs)
		if !ok {
			continue
		}
		x := bucketSnapshot{Name: b.Name, Cosines: cosines(m), Errors: cosineErrors(m, b.Contrast), Self: b.SelfCosine, Gap: gap(m)}
		x.Angle, x.Ratio = against(m, b.Weights)
		out.Buckets = append(out.Buckets, x)
		if len(b.Contrast) != len(contrast) {
			contrast = nil // that of the whole is not known
		}
		for k := range contrast {
			contrast[k] += b.Contrast[k]
		}
		for i := range langs {
			for j := range i + 1 {
				sum.SetSym(i, j, sum.At(i, j)+m.At(i, j)) // not finite in one bucket: not finite in the whole
			}
		}
	}
	out.Gap, out.Cosines, out.Errors = gap(sum), cosines(sum), cosineErrors(sum, contrast)
	return out
}

// matrix is the Gram whose lower triangle is recorded; false when it is of
// another number of languages.
func matrix(lower []report.Float, m int) (*mat.SymDense, bool) {
	if m < 1 || len(lower) != m*(m+1)/2 {
		return nil, false
	}
	g := mat.NewSymDense(m, nil)
	k := 0
	for i := range m {
		for j := range i + 1 {
			g.SetSym(i, j, float64(lower[k]))
			k++
		}
	}
	return g, true
}

func finite(x float64) bool { return !math.IsNaN(x) && !math.IsInf(x, 0) }

// cosines is G's, NaN where a gradient is zero or not finite.
func cosines(g *mat.SymDense) []report.Float {
	n := g.SymmetricDim()
	out := make([]report.Float, 0, n*n)
	for i := range n {
		for j := range n {
			c := g.At(i, j) / math.Sqrt(g.At(i, i)) / math.Sqrt(g.At(j, j))
			out = append(out, round(min(1, max(-1, c)), 4))
		}
	}
	return out
}

// cosineErrors is the standard error of every cosine from the contrasts of the
// languages' halves (report.GramBucket.Contrast); nil without them.
func cosineErrors(g *mat.SymDense, contrast []report.Float) []report.Float {
	n := g.SymmetricDim()
	if n*n != len(contrast) {
		return nil
	}
	out := make([]report.Float, 0, n*n)
	for i := range n {
		for j := range n {
			if i == j {
				out = append(out, 0)
				continue
			}
			e := math.Hypot(float64(contrast[i*n+j]), float64(contrast[j*n+i]))
			out = append(out, round(e/math.Sqrt(g.At(i, i))/math.Sqrt(g.At(j, j)), 4))
		}
	}
	return out
}

// round keeps a page small.
func round(x float64, digits int) report.Float {
	if !finite(x) {
		return report.Float(math.NaN())
	}
	f := math.Pow(10, float64(digits))
	return report.Float(math.Round(x*f) / f)
}

// against is the angle in degrees between d = Jᵀw and the mean of the active
// gradients, and the ratio of their lengths: |d|² = wᵀGw, ⟨d, ḡ⟩ = wᵀGu.
func against(g *mat.SymDense, w []float64) (angle, ratio report.Float) {
	n := g.SymmetricDim()
	u := make([]float64, n)
	active := 0.0
	for i := range n {
		if d := g.At(i, i); d > 0 && finite(d) {
			u[i] = 1
			active++
		}
	}
	nan := report.Float(math.NaN())
	if len(w) != n || active == 0 {
		return nan, nan
	}
	form := func(a, b []float64) float64 {
		sum := 0.0
		for i := range n {
			for j := range n {
				if a[i] != 0 && b[j] != 0 {
					sum += a[i] * b[j] * g.At(i, j)
				}
			}
		}
		return sum
	}
	for i := range u {
		u[i] /= active
	}
	dd, uu, du := form(w, w), form(u, u), form(w, u)
	if !(dd > 0) || !(uu > 0) {
		return nan, round(math.Sqrt(max(0, dd)/uu), 5)
	}
	c := min(1, max(-1, du/math.Sqrt(dd)/math.Sqrt(uu)))
	return round(math.Acos(c)*180/math.Pi, 3), round(math.Sqrt(dd/uu), 5)
}

// gap is the least norm of a convex combination of the gradients over their mean
// norm: 0 where they are Pareto stationary.
func gap(g *mat.SymDense) report.Float {
	m, err := moo.New("mgda", nil)
	if err != nil {
		return report.Float(math.NaN())
	}
	r, err := moo.Solve(m, moo.Input{G: g})
	if err != nil {
		return report.Float(math.NaN())
	}
	sum, n := 0.0, 0.0
	for i := range g.SymmetricDim() {
		if d := g.At(i, i); d > 0 && finite(d) {
			sum += math.Sqrt(d)
			n++
		}
	}
	return round(r.Diagnostics["norm"]/(sum/n), 5)
}
