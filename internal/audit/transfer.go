package audit

import (
	"math"

	"concord/internal/report"
	"concord/internal/stats"
)

// Transfer is the first-order effect of languages' steps on each other's losses: entry
// [i][j] is the effect of a step along language j's gradient on language i's loss, in units of
// the effect of a step along i's own gradient, of other rows. 1: as good as its own; 0:
// nothing; below 0: it hurts.
type Transfer struct {
	// Metric of the products: "adam", the optimizer's, or "euclidean", where the optimizer
	// has no second moments of f32: the effect of a step of plain gradient descent.
	Metric    string           `json:"metric"`
	Langs     []string         `json:"languages"`
	Snapshots int              `json:"snapshots"`
	From      int              `json:"from"` // step of the first
	Effect    [][]report.Float `json:"effect"`
	// Error is the standard error of Effect over the snapshots (delete-one jackknife).
	Error [][]report.Float `json:"error"`
	// Floor is the standard error that the difference between two halves of the languages'
	// rows lets expect: a smaller value may be chance. NaN without halves.
	Floor   [][]report.Float `json:"floor"`
	Layers  []LayerTransfer  `json:"layers"`  // in the order of the model
	Periods []Period         `json:"periods"` // of training
}

// LayerTransfer is the mean effect of another language in one part of the model.
type LayerTransfer struct {
	Name   string       `json:"name"`
	Mean   report.Float `json:"mean"`   // of all pairs
	Lowest report.Float `json:"lowest"` // pair
	Pair   [2]string    `json:"pair"`   // of the lowest: whose loss, whose step
	// Conflict is the share of pairs below 0, of all snapshots; chance gives a half.
	Conflict report.Float `json:"conflict"`
}

// Period is the mean effect of another language in a part of the run.
type Period struct {
	From int          `json:"from"` // steps
	To   int          `json:"to"`
	Mean report.Float `json:"mean"`
}

// products are one snapshot's inner products of all buckets, or of one.
type products struct {
	g      []float64 // M × M
	signal []float64 // of each language's gradient with itself, without the noise
	noise  []float64 // variances of g by half-batches, M × M; NaN without
}

// periods is the parts that a run is divided into.
const periods = 3

// transfer derives it from the snapshots of the gradients' run; nil where there is none.
func (a *audit) transfer() *Transfer {
	r := a.results[a.gradients()[0].Slug()]
	if r == nil || len(r.Grams) == 0 {
		return nil
	}
	m := len(r.Langs)
	grams := afterStart(r.Grams, r.Steps)
	t := &Transfer{Metric: string(productsMetric(a.base)), Langs: r.Langs, Snapshots: len(grams), From: grams[0].Step}
	var all []products
	byLayer := map[string][]products{}
	var names []string
	for _, g := range grams {
		sum := newProducts(m)
		for _, b := range g.Buckets {
			p := bucketProducts(b, m)
			if byLayer[b.Name] == nil {
				names = append(names, b.Name)
			}
			byLayer[b.Name] = append(byLayer[b.Name], p)
			sum.add(p)
		}
		all = append(all, sum)
	}
	t.Effect = effectOf(all, m)
	t.Error, t.Floor = jackknife(all, m), floorOf(all, m)
	for _, n := range names {
		t.Layers = append(t.Layers, layerOf(n, byLayer[n], r.Langs))
	}
	for i := range periods {
		lo, hi := i*len(all)/periods, (i+1)*len(all)/periods
		if hi > lo {
			t.Periods = append(t.Periods, Period{grams[lo].Step, grams[hi-1].Step, report.Float(between(effectOf(all[lo:hi], m)))})
		}
	}
	return t
}

// Told says for people in which metric the products are.
func (t *Transfer) Told() string {
	if t.Metric == string(metricEuclidean) {
		return "products in the Euclidean metric, of a step of plain gradient descent: the optimizer's needs AdamW with moments = \"f32\""
	}
	return "products in the optimizer's metric"
}

// unsettled is the steps at whose gradients are not looked: the optimizer's metric is then
// made of one or two gradients, and large where these happened to cancel.
const unsettled = 3

// afterStart leaves out the snapshots of the first steps, a tenth of the run or more, where
// that leaves enough.
func afterStart(all []report.Gram, steps int) []report.Gram {
	from := 0
	for from < len(all)-3 && all[from].Step <= max(unsettled, steps/10) {
		from++
	}
	return all[from:]
}

func newProducts(m int) products {
	return products{make([]float64, m*m), make([]float64, m), make([]float64, m*m)}
}

func (p *products) add(o products) {
	for i := range p.g {
		p.g[i] += o.g[i]
		p.noise[i] += o.noise[i]
	}
	for i := range p.signal {
		p.signal[i] += o.signal[i]
	}
}

// bucketProducts are those of a bucket. A gradient's product with itself holds its noise;
// the cosine s of two halves gives the part that is none, 2s/(1+s).
func bucketProducts(b report.GramBucket, m int) products {
	p := newProducts(m)
	at := 0
	for i := range m {
		for j := range i + 1 {
			v := float64(b.G[at])
			if at++; math.IsNaN(v) { // of a language without a gradient
				v = 0
			}
			p.g[i*m+j], p.g[j*m+i] = v, v
		}
	}
	for i := range m {
		p.signal[i] = p.g[i*m+i]
		if len(b.SelfCosine) == m {
			if s := float64(b.SelfCosine[i]); s > -1 { // NaN where there was one half only
				p.signal[i] *= 2 * s / (1 + s)
			}
		}
		for j := range m {
			p.noise[i*m+j] = math.NaN()
			if len(b.Contrast) == m*m {
				x, y := float64(b.Contrast[i*m+j]), float64(b.Contrast[j*m+i])
				p.noise[i*m+j] = x*x + y*y
			}
		}
	}
	return p
}

// effectOf is the mean product of two languages over that of the first with itself.
func effectOf(all []products, m int) [][]report.Float {
	out := make([][]report.Float, m)
	for i := range m {
		own := 0.0
		for _, p := range all {
			own += p.signal[i]
		}
		for j := range m {
			sum := 0.0
			for _, p := range all {
				sum += p.g[i*m+j]
			}
			v := math.NaN()
			switch {
			case i == j:
				v = 1
			case own > 0:
				v = sum / own
			}
			out[i] = append(out[i], report.Float(v))
		}
	}
	return out
}

// jackknife is the standard error of effectOf over snapshots.
func jackknife(all []products, m int) [][]report.Float {
	n := len(all)
	out := blank(m)
	if n < 3 {
		return out
	}
	var without [][][]report.Float
	for k := range all {
		rest := append(append([]products{}, all[:k]...), all[k+1:]...)
		without = append(without, effectOf(rest, m))
	}
	for i := range m {
		for j := range m {
			var x []float64
			for k := range without {
				x = append(x, float64(without[k][i][j]))
			}
			_, sd := stats.MeanSD(x)
			out[i][j] = report.Float(sd * float64(n-1) / math.Sqrt(float64(n)))
		}
	}
	return out
}

// floorOf is the standard error of effectOf by the half-batches.
func floorOf(all []products, m int) [][]report.Float {
	out := blank(m)
	for i := range m {
		own := 0.0
		for _, p := range all {
			own += p.signal[i]
		}
		for j := range m {
			sum := 0.0
			for _, p := range all {
				sum += p.noise[i*m+j]
			}
			if own > 0 && i != j {
				out[i][j] = report.Float(math.Sqrt(sum) / own)
			}
		}
	}
	return out
}

func blank(m int) [][]report.Float {
	out := make([][]report.Float, m)
	for i := range out {
		for range m {
			out[i] = append(out[i], report.Float(math.NaN()))
		}
	}
	return out
}

// between is the mean over pairs of two languages that are known.
func between(effect [][]report.Float) float64 {
	sum, n := 0.0, 0.0
	for i := range effect {
		for j, v := range effect[i] {
			if i != j && !math.IsNaN(float64(v)) {
				sum, n = sum+float64(v), n+1
			}
		}
	}
	return sum / n
}

// layerOf takes a part of the model together.
func layerOf(name string, all []products, langs []string) LayerTransfer {
	m := len(langs)
	effect := effectOf(all, m)
	l := LayerTransfer{Name: name, Mean: report.Float(between(effect)), Lowest: report.Float(math.Inf(1))}
	for i := range m {
		for j := range m {
			if i != j && effect[i][j] < l.Lowest {
				l.Lowest, l.Pair = effect[i][j], [2]string{langs[i], langs[j]}
			}
		}
	}
	negative, pairs := 0.0, 0.0
	for _, p := range all {
		for i := range m {
			for j := range i {
				if pairs++; p.g[i*m+j] < 0 {
					negative++
				}
			}
		}
	}
	l.Conflict = report.Float(negative / pairs)
	return l
}

// clear says that an entry differs from 0 by more than chance: by three of the larger of
// its two standard errors.
func (t *Transfer) clear(i, j int) bool {
	e := max(float64(t.Error[i][j]), 0)
	if f := float64(t.Floor[i][j]); f > e {
		e = f
	}
	v := math.Abs(float64(t.Effect[i][j]))
	return i != j && e > 0 && v > 3*e
}
