package step

import (
	"math"
	"time"

	"concord/bucket"
	"concord/internal/data"
	"concord/internal/objective"
	"concord/internal/report"
)

// count adds a step's batch to the run's sums.
func (t *Trainer) count(b *data.Batch) {
	t.Tokens += int64(total(b.Tokens))
	t.Supervised += int64(total(b.Supervised))
}

// record reports the step.
func (t *Trainer) record(b *data.Batch, out Outcome, took time.Duration) report.Step {
	resolved, loss := out.Groups, out.Losses
	r := report.Step{Step: t.Done, Steps: t.Steps, LossByLang: map[string]report.Float{}, TokensByLang: map[string]int{},
		GradNorm: report.Float(resolved.Norm), NegativePairs: resolved.Negative, Pairs: resolved.Pairs,
		Tokens: total(b.Tokens), Positions: len(b.IDs), TotalTokens: t.Tokens, TotalSupervised: t.Supervised, Exchange: out.Exchange,
		Weights: t.Objective.Applied(), ClipScale: report.Float(out.Clip), LR: report.Float(out.LR), Seconds: took.Seconds()}
	mem := t.Engine.Dev.Memory()
	r.MemoryBytes, r.PeakBytes, r.Cosines = mem.Current, mem.Peak, wholeCosines(resolved, len(t.Langs))
	masked := map[int]bool{}
	for _, bk := range resolved.Buckets {
		for _, m := range bk.NonFinite {
			masked[m] = true
		}
		r.Buckets = append(r.Buckets, bucketRecord(bk))
	}
	mean, n := 0.0, 0
	for m, lang := range t.Langs {
		if b.Supervised[m] == 0 {
			continue
		}
		r.LossByLang[lang], r.TokensByLang[lang] = report.Float(loss[m]), b.Supervised[m]
		if math.IsNaN(loss[m]) || math.IsInf(loss[m], 0) {
			masked[m] = true
			continue
		}
		mean, n = mean+loss[m], n+1
	}
	r.Loss = report.Float(mean / float64(n)) // NaN when no language's loss is finite
	for m, lang := range t.Langs {
		if masked[m] {
			r.Masked = append(r.Masked, lang)
		}
	}
	return r
}

func total(x []int) (sum int) {
	for _, n := range x {
		sum += n
	}
	return sum
}

func bucketRecord(b bucket.BucketReport) report.Bucket {
	r := report.Bucket{Name: b.Name, NegativePairs: b.Negative, Pairs: b.Pairs, Weights: b.Weights, Norm: report.Float(math.Sqrt(b.Norm2)),
		MinCosine: report.Float(math.NaN())}
	if b.Pairs > 0 {
		r.MinCosine = report.Float(b.MinCosine)
	}
	if b.G != nil {
		for i := range b.G.SymmetricDim() {
			r.Norms = append(r.Norms, report.Float(math.Sqrt(b.G.At(i, i))))
		}
	}
	return r
}

// Grams is a snapshot of the last step's Gram matrices; false where it computed
// none.
func (t *Trainer) Grams() (report.Gram, bool) {
	r := report.Gram{Kind: "gram", Step: t.Done, Metric: t.Settings.Objective.MetricName()}
	for i, b := range t.groups.Buckets {
		if b.G == nil {
			continue
		}
		x := report.GramBucket{Name: b.Name, Size: b.Size, Method: t.Objective.Method(t.Store.Layout.Groups[i].Rule), Weights: b.Weights}
		for j := range b.G.SymmetricDim() {
			for k := range j + 1 {
				x.G = append(x.G, report.Float(b.G.At(j, k)))
			}
		}
		if b.Halves != nil {
			x.SelfCosine, x.Contrast = objective.SelfCosines(b.Halves), objective.Contrasts(b.Halves, t.Objective.Halves())
		}
		r.Buckets = append(r.Buckets, x)
	}
	return r, len(r.Buckets) > 0
}

// wholeCosines is the cosines between the languages' whole gradients, from the
// sum of the groups' Grams; nil where there is none.
func wholeCosines(r bucket.Report, m int) []report.Float {
	sum := make([]float64, m*m)
	any := false
	for _, b := range r.Buckets {
		if b.G == nil {
			continue
		}
		any = true
		for i := range m {
			for j := range i + 1 {
				if v := b.G.At(i, j); !math.IsNaN(v) && !math.IsInf(v, 0) {
					sum[i*m+j] += v
				}
			}
		}
	}
	if !any {
		return nil
	}
	var out []report.Float
	for i := range m {
		for j := range i {
			c := sum[i*m+j] / math.Sqrt(sum[i*m+i]) / math.Sqrt(sum[j*m+j])
			out = append(out, report.Float(min(1, max(-1, c)))) // NaN for a language without a gradient
		}
	}
	return out
}
