// Package stats is the statistics of experiments with few seeds: means over seeds,
// differences paired by seed, intervals that hold together, and the smallest difference
// that could have been seen. Its functions are pure.
package stats

import (
	"math"
	"slices"

	"gonum.org/v1/gonum/mathext"
	"gonum.org/v1/gonum/stat/distuv"

	"concord/internal/report"
)

const (
	// Smallest is the least difference in bits per byte that counts as one, however
	// alike the seeds are.
	Smallest = 5e-4
	// Confidence is the level of every interval, of those of a table together where
	// several configurations are compared with one reference.
	Confidence = 0.95
	// Power is the chance with which the smallest detectable difference is found.
	Power = 0.8
)

// Spread is a mean over seeds with its sample standard deviation; NaN (null in
// JSON) where there are too few seeds.
type Spread struct {
	Mean report.Float `json:"mean"`
	SD   report.Float `json:"sd"`
	N    int          `json:"n"`
}

// NewSpread summarises values. The deviation's divisor is n − 1.
func NewSpread(values []float64) Spread {
	mean, sd := MeanSD(values)
	return Spread{report.Float(mean), report.Float(sd), len(values)}
}

// Difference is a mean of differences paired by seed, with its Confidence
// interval; NaN where there are fewer than two pairs.
type Difference struct {
	Mean report.Float `json:"mean"`
	Lo   report.Float `json:"lo"`
	Hi   report.Float `json:"hi"`
	N    int          `json:"n"`
	// Detectable is the true difference that as many seeds find with a chance of Power or more, by
	// the same criterion, the error taken for estimated from seeds alone; NaN where it is not known.
	Detectable report.Float `json:"detectable"`
}

// Paired is the mean of a[i] − b[i] with Student's t interval at the given
// level: mean ± t(1−(1−level)/2; n−1) · sd/√n. It supposes that the differences
// over seeds are about normal, which few seeds cannot show.
func Paired(a, b []float64, level float64) Difference {
	mean, sd := MeanSD(Minus(a, b))
	n := float64(len(a))
	if n < 2 {
		return Interval(mean, math.NaN(), math.NaN(), math.NaN(), len(a))
	}
	return Interval(mean, sd/math.Sqrt(n), tQuantile(1-(1-level)/2, n-1), n-1, len(a))
}

// Interval is mean ± critical · error, of n pairs; error is an estimate with so many degrees of
// freedom, which may be infinite.
func Interval(mean, error, critical, degrees float64, n int) Difference {
	half := critical * error
	return Difference{Mean: report.Float(mean), Lo: report.Float(mean - half), Hi: report.Float(mean + half), N: n,
		Detectable: report.Float(detectable(critical, degrees) * error)}
}

// Minus is a − b, element by element.
func Minus(a, b []float64) []float64 {
	d := make([]float64, len(a))
	for i := range a {
		d[i] = a[i] - b[i]
	}
	return d
}

// Together compares several configurations, each by its differences from the reference
// paired by seed. The variances of the differences are moderated: each is drawn towards
// the common one, as far as all of them suggest that they are alike (Smyth, Statistical
// Applications in Genetics and Molecular Biology 3, 2004), which makes three to
// five seeds enough. Intervals hold for all of them at once (Dunnett 1955). examples is
// the variance of each mean from the choice of the held-out examples, nil where it is not
// known: the intervals are then about these examples only.
func Together(differences [][]float64, examples []float64) []Difference {
	sd, degrees := Moderated(differences)
	out := make([]Difference, len(differences))
	count := 0
	for _, d := range differences {
		if len(d) >= 2 {
			count++
		}
	}
	for i, d := range differences {
		mean, _ := MeanSD(d)
		if len(d) < 2 {
			out[i] = Interval(mean, math.NaN(), math.NaN(), math.NaN(), len(d))
			continue
		}
		variance := sd[i] * sd[i] / float64(len(d))
		if examples != nil {
			variance += examples[i]
		}
		whole := max(1, math.Floor(degrees[i]))
		out[i] = Interval(mean, math.Sqrt(variance), Critical(Confidence, count, whole), whole, len(d))
	}
	return out
}

// Moderated is the standard deviation of each sample drawn towards the common one, and
// its degrees of freedom. Samples of fewer than two, or without any deviation, have no
// part in it. The samples are differences from one reference, which correlate by 1/2, and
// so their squares by 1/4: together they know less of the common deviation than as many
// independent ones, and have fewer degrees of freedom.
func Moderated(samples [][]float64) (sd, degrees []float64) {
	sd, degrees = make([]float64, len(samples)), make([]float64, len(samples))
	var logs []float64
	spread, total := 0.0, 0.0 // mean ψ'(d/2); Σ d
	for i, x := range samples {
		_, sd[i] = MeanSD(x)
		degrees[i] = float64(len(x) - 1)
		if !(sd[i] > 0) {
			continue
		}
		half := degrees[i] / 2
		logs = append(logs, 2*math.Log(sd[i])-mathext.Digamma(half)+math.Log(half))
		spread += trigamma(half)
		total += degrees[i]
	}
	if len(logs) < 2 {
		return sd, degrees
	}
	total /= 1 + float64(len(logs)-1)/4
	mean, sdLogs := MeanSD(logs)
	prior, common := math.Inf(1), math.Exp(mean) // degrees and variance that they have in common
	if excess := sdLogs*sdLogs - spread/float64(len(logs)); excess > 0 {
		prior = 2 * inverseTrigamma(excess)
		common = math.Exp(mean + mathext.Digamma(prior/2) - math.Log(prior/2))
	}
	for i := range samples {
		if !(sd[i] > 0) {
			continue
		}
		if math.IsInf(prior, 1) {
			sd[i], degrees[i] = math.Sqrt(common), total
			continue
		}
		sd[i] = math.Sqrt((prior*common + degrees[i]*sd[i]*sd[i]) / (prior + degrees[i]))
		degrees[i] = min(prior+degrees[i], total)
	}
	return sd, degrees
}

// trigamma is the derivative of the digamma function, for x > 0: recurrence to large
// arguments, then the asymptotic series (Abramowitz and Stegun 6.4.12).
func trigamma(x float64) float64 {
	sum := 0.0
	for ; x < 12; x++ {
		sum += 1 / (x * x)
	}
	y := 1 / (x * x)
	return sum + 1/x + y/2 + y/x*(1.0/6-y*(1.0/30-y*(1.0/42-y/30)))
}

// inverseTrigamma is the x > 0 with trigamma(x) = y > 0, by bisection on its logarithm.
func inverseTrigamma(y float64) float64 {
	lo, hi := math.Log(1e-8), math.Log(1e8)
	for range 200 {
		mid := (lo + hi) / 2
		if trigamma(math.Exp(mid)) > y {
			lo = mid
		} else {
			hi = mid
		}
	}
	return math.Exp((lo + hi) / 2)
}

// tQuantile is Student's t's.
func tQuantile(p, degrees float64) float64 {
	return distuv.StudentsT{Sigma: 1, Nu: degrees}.Quantile(p)
}

// MeanSD is the mean (NaN of nothing) and the sample standard deviation (NaN of
// fewer than two).
func MeanSD(values []float64) (mean, sd float64) {
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

// Median is the lower middle of two where their number is even; 0 of nothing.
func Median(values []float64) float64 {
	if len(values) == 0 {
		return 0
	}
	s := slices.Sorted(slices.Values(values))
	return s[(len(s)-1)/2]
}

// RatioVariance is the variance, from the choice of examples, of Σ x / Σ size over examples
// (a loss per byte): the linearised (delete-one jackknife) form of a bootstrap over them. 0
// of fewer than two.
func RatioVariance(x, size []float64) float64 {
	n := float64(len(x))
	if n < 2 {
		return 0
	}
	total, all := 0.0, 0.0
	for i := range x {
		total += x[i]
		all += size[i]
	}
	ratio, squares := total/all, 0.0
	for i := range x {
		r := x[i] - ratio*size[i]
		squares += r * r
	}
	return n / (n - 1) * squares / (all * all)
}
