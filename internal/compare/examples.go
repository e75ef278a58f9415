package compare

import (
	"math"
	"slices"

	"concord/internal/stats"
)

// exampleVariance is the variance, from the choice of the held-out examples, of the mean
// over languages of the difference in bits per byte between two configurations: examples
// are resampled within their language, both configurations' losses of one together, by
// the linearised (delete-one jackknife) form of a bootstrap over examples. only names a
// single language; otherwise it is the mean over those with Seen == seen. NaN-free: 0
// where no run has kept its examples' losses.
//
// Languages are taken as independent, which translations of the same examples are not: a
// method that helps on an example helps on its translations. Results do not have the keys
// that would tell; the report says so where there are keys (TestPublishedEnds resamples names8
// by key).
func exampleVariance(a, b []Result, seen bool, only string) float64 {
	sum, langs := 0.0, 0
	if len(a) == 0 {
		return 0
	}
	for _, s := range a[0].Test {
		if only != "" && s.Lang != only || only == "" && s.Seen != seen {
			continue
		}
		langs++
		sum += languageVariance(a, b, s.Lang)
	}
	return sum / float64(max(1, langs*langs))
}

// languageVariance is that of one language.
func languageVariance(a, b []Result, lang string) float64 {
	x, bytes := exampleDifferences(a, b, lang)
	return stats.RatioVariance(x, bytes)
}

// exampleDifferences are, by example, the differences in bits, mean over the seeds that
// both configurations have, and the bytes.
func exampleDifferences(a, b []Result, lang string) (x, bytes []float64) {
	pairs := 0.0
	for _, r := range a {
		i := slices.IndexFunc(b, func(o Result) bool { return o.Seed == r.Seed })
		if i < 0 || len(r.Docs[lang]) == 0 || len(r.Docs[lang]) != len(b[i].Docs[lang]) {
			continue
		}
		if x == nil {
			x, bytes = make([]float64, len(r.Docs[lang])), make([]float64, len(r.Docs[lang]))
		}
		if len(x) != len(r.Docs[lang]) {
			continue
		}
		pairs++
		for k, d := range r.Docs[lang] {
			x[k] += (d.NLL - b[i].Docs[lang][k].NLL) / math.Ln2
			bytes[k] = float64(d.Bytes)
		}
	}
	for k := range x {
		x[k] /= pairs
	}
	return x, bytes
}
