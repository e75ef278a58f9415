package compare

import (
	"math"
	"slices"

	"gonum.org/v1/gonum/stat/distuv"

	"concord/internal/report"
)

// confidence is the level of every interval in the tables.
const confidence = 0.95

// Spread is a mean over seeds with its sample standard deviation; NaN (null in
// JSON) where there are too few seeds.
type Spread struct {
	Mean report.Float `json:"mean"`
	SD   report.Float `json:"sd"`
	N    int          `json:"n"`
}

// newSpread summarises values. The deviation's divisor is n − 1.
func newSpread(values []float64) Spread {
	mean, sd := meanSD(values)
	return Spread{report.Float(mean), report.Float(sd), len(values)}
}

// Difference is a mean of differences paired by seed, with its confidence
// interval; NaN where there are fewer than two pairs.
type Difference struct {
	Mean report.Float `json:"mean"`
	Lo   report.Float `json:"lo"`
	Hi   report.Float `json:"hi"`
	N    int          `json:"n"`
}

// paired is the mean of a[i] − b[i] with Student's t interval at the given
// level: mean ± t(1−(1−level)/2; n−1) · sd/√n. It supposes that the differences
// over seeds are about normal, which few seeds cannot show.
func paired(a, b []float64, level float64) Difference {
	d := make([]float64, len(a))
	for i := range a {
		d[i] = a[i] - b[i]
	}
	mean, sd := meanSD(d)
	half := math.NaN()
	if n := float64(len(d)); n >= 2 {
		half = tQuantile(1-(1-level)/2, n-1) * sd / math.Sqrt(n)
	}
	return Difference{report.Float(mean), report.Float(mean - half), report.Float(mean + half), len(d)}
}

// tQuantile is Student's t's.
func tQuantile(p, degrees float64) float64 {
	return distuv.StudentsT{Sigma: 1, Nu: degrees}.Quantile(p)
}

// meanSD is the mean (NaN of nothing) and the sample standard deviation (NaN of
// fewer than two).
func meanSD(values []float64) (mean, sd float64) {
	n := float64(len(values))
	for _, v := range values {
		mean += v / n
	}
	if len(values) == 0 {
		return math.NaN(), math.NaN()
	}
	if len(values) < 2 {
		return mean, math.NaN()
	}
	sum := 0.0
	for _, v := range values {
		sum += (v - mean) * (v - mean)
	}
	return mean, math.Sqrt(sum / (n - 1))
}

// median is the lower middle of two where their number is even; 0 of nothing.
func median(values []float64) float64 {
	if len(values) == 0 {
		return 0
	}
	s := slices.Sorted(slices.Values(values))
	return s[(len(s)-1)/2]
}
