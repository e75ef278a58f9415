package stats

import (
	"math"
	"sync"

	"gonum.org/v1/gonum/integrate/quad"
	"gonum.org/v1/gonum/stat/distuv"
)

// criticals keeps values that were computed, by criticalKey.
var criticals sync.Map

type criticalKey struct {
	level, degrees float64
	k              int
}

// Critical is the critical value of k comparisons with one reference (Dunnett 1955), see
// dunnett; computed once.
func Critical(level float64, k int, degrees float64) float64 {
	key := criticalKey{level, degrees, k}
	if c, ok := criticals.Load(key); ok {
		return c.(float64)
	}
	c := dunnett(level, k, degrees)
	criticals.Store(key, c)
	return c
}

// dunnett is the two-sided critical value of comparing k configurations with one
// reference at the given level for all together (Dunnett, JASA 50, 1955): the level
// quantile of max |T_i| over k Student t variables with so many degrees of freedom that
// share the reference, so that each two correlate by 1/2. degrees may be infinite.
func dunnett(level float64, k int, degrees float64) float64 {
	if k < 1 {
		return math.NaN()
	}
	lo, hi := 0.0, 2.0
	for covered(hi, k, degrees) < level && hi < 1e6 {
		hi *= 2
	}
	for range 40 {
		mid := (lo + hi) / 2
		if covered(mid, k, degrees) < level {
			lo = mid
		} else {
			hi = mid
		}
	}
	return (lo + hi) / 2
}

// covered is P(max |T_i| ≤ c): given the reference's deviation z and the ratio s of
// estimated to true standard deviation, the k variables are independent.
func covered(c float64, k int, degrees float64) float64 {
	const reach = 8.5 // normal deviations
	given := func(s float64) float64 {
		return quad.Fixed(func(z float64) float64 {
			p := distuv.UnitNormal.CDF(c*s*math.Sqrt2+z) - distuv.UnitNormal.CDF(-c*s*math.Sqrt2+z)
			return math.Pow(p, float64(k)) * distuv.UnitNormal.Prob(z)
		}, -reach, reach, 48, quad.Legendre{}, 0)
	}
	if math.IsInf(degrees, 1) || degrees > 1e6 {
		return given(1)
	}
	chi := distuv.ChiSquared{K: degrees}
	// over quantiles of s, so that small and large degrees are integrated alike
	return quad.Fixed(func(p float64) float64 { return given(math.Sqrt(chi.Quantile(p) / degrees)) }, 0, 1, 40, quad.Legendre{}, 0)
}
