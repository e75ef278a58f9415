package report

import (
	"math"

	"gonum.org/v1/gonum/stat/distuv"
)

// Doc is one measured document: its summed loss in nats and its UTF-8 bytes.
type Doc struct {
	NLL   float64
	Bytes int
}

// Estimate is a figure with its 95 % confidence interval over the documents, which
// are taken for a random sample; the bounds are NaN (null) for fewer than two.
type Estimate struct {
	Value Float `json:"value"`
	Low   Float `json:"low"`
	High  Float `json:"high"`
}

// Mean is the mean bits per byte of some languages, each counted once.
type Mean struct {
	Seen   bool      `json:"seen"` // of the trained languages, else of the others
	Langs  int       `json:"languages"`
	Of     int       `json:"of"` // languages there are; those without held-out documents are not in the mean
	Docs   int       `json:"documents"`
	Held   int       `json:"heldout"` // documents there are of these languages
	Value  Estimate  `json:"bits_per_byte"`
	Change *Estimate `json:"change,omitempty"` // relative, from the first evaluation
}

// Half is half of the interval's width: the figure is known to ± Half. NaN where there is none.
func (e *Estimate) Half() float64 {
	if e == nil {
		return math.NaN()
	}
	return float64(e.High - e.Value) // below, the interval may be cut off
}

// variance is a squared standard error with the documents that it rests on.
type variance struct {
	v float64
	n int
}

// ratio is Σx/Σy over documents with its variance by linearisation (Cochran,
// Sampling Techniques, 3rd ed., 1977, section 6.4).
func ratio(x, y []float64) (value float64, v variance) {
	sx, sy := 0.0, 0.0
	for i := range x {
		sx, sy = sx+x[i], sy+y[i]
	}
	value = sx / sy
	n, square := float64(len(x)), 0.0
	for i := range x {
		d := x[i] - value*y[i]
		square += d * d
	}
	return value, variance{n / (n - 1) * square / (sy * sy), len(x)} // n = 1: NaN
}

// estimate is value with the interval of independent variances that add up, their
// degrees of freedom by Welch and Satterthwaite.
func estimate(value, scale float64, parts ...variance) Estimate {
	sum, squares := 0.0, 0.0
	for _, p := range parts {
		sum += p.v
		squares += p.v * p.v / float64(p.n-1)
	}
	half := 0.0
	switch {
	case math.IsNaN(sum) || math.IsInf(sum, 0):
		half = math.NaN()
	case sum > 0:
		half = scale * math.Sqrt(sum) * distuv.StudentsT{Sigma: 1, Nu: sum * sum / squares}.Quantile(0.975)
	}
	return Estimate{Float(value), Float(value - half), Float(value + half)}
}

// columns are the documents' losses in bits and their bytes.
func columns(docs []Doc) (bits, bytes []float64) {
	for _, d := range docs {
		bits, bytes = append(bits, d.NLL/math.Ln2), append(bytes, float64(d.Bytes))
	}
	return bits, bytes
}

// Relate fills the intervals of e from its documents, and, where before measured the
// same documents, the changes since, paired document by document.
func (e *Eval) Relate(before *Eval) {
	e.Means = nil
	for i := range e.Rows {
		r := &e.Rows[i]
		r.Interval, r.Change = nil, nil
		if len(r.Docs) > 0 {
			bits, bytes := columns(r.Docs)
			value, v := ratio(bits, bytes)
			x := estimate(value, 1, v)
			x.Low = max(0, x.Low)
			r.Interval = &x
		}
		if b := before.row(r.Lang); b != nil && r.Examples > 0 {
			c := change([]*EvalRow{r}, []*EvalRow{b})
			r.Change = &c
		}
	}
	for _, seen := range []bool{true, false} {
		if m, ok := e.mean(seen, before); ok {
			e.Means = append(e.Means, m)
		}
	}
}

// row is a language's, nil where it was not measured.
func (e *Eval) row(lang string) *EvalRow {
	if e == nil {
		return nil
	}
	for i := range e.Rows {
		if e.Rows[i].Lang == lang && e.Rows[i].Examples > 0 {
			return &e.Rows[i]
		}
	}
	return nil
}

func (e *Eval) mean(seen bool, before *Eval) (m Mean, ok bool) {
	m.Seen = seen
	var after, was []*EvalRow
	var parts []variance
	for i := range e.Rows {
		r := &e.Rows[i]
		if r.Seen != seen {
			continue
		}
		m.Of++
		if r.Examples == 0 {
			continue
		}
		m.Langs++
		m.Docs += r.Examples
		m.Held += max(r.Examples, r.Heldout)
		bits, bytes := columns(r.Docs)
		_, v := ratio(bits, bytes)
		parts = append(parts, v)
		after = append(after, r)
		if b := before.row(r.Lang); b != nil {
			was = append(was, b)
		}
	}
	m.Value = estimate(e.Mean(seen), 1/float64(m.Langs), parts...)
	if len(was) == len(after) && len(was) > 0 {
		c := change(after, was)
		m.Change = &c
	}
	return m, m.Of > 0
}

// change is the relative change of the mean bits per byte of some languages. Its
// interval is paired: after and before are of the same documents.
func change(after, before []*EvalRow) Estimate {
	a, b := 0.0, 0.0
	for i := range after {
		a, b = a+float64(after[i].BitsPerByte), b+float64(before[i].BitsPerByte)
	}
	r := a / b
	var parts []variance
	for i := range after {
		x, bytes := columns(after[i].Docs)
		y, same := columns(before[i].Docs)
		if len(x) != len(y) || len(x) == 0 {
			return Estimate{Float(r - 1), Float(math.NaN()), Float(math.NaN())}
		}
		for k := range x {
			if bytes[k] != same[k] {
				return Estimate{Float(r - 1), Float(math.NaN()), Float(math.NaN())}
			}
			x[k] -= r * y[k]
		}
		_, v := ratio(x, bytes)
		parts = append(parts, v)
	}
	e := estimate(r-1, 1/b, parts...)
	e.Low = max(-1, e.Low)
	return e
}
