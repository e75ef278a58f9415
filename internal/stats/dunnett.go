package stats

import (
	"math"
	"sync"

	"gonum.org/v1/gonum/integrate/quad"
	"gonum.org/v1/gonum/stat/distuv"
)

// computed keeps values of critical and detectable, by their arguments.
var computed sync.Map

type (
	criticalKey struct {
		level, degrees float64
		k              int
	}
	detectableKey struct{ critical, degrees float64 }
)

// once is the value of f for key, computed once.
func once(key any, f func() float64) float64 {
	if v, ok := computed.Load(key); ok {
		return v.(float64)
	}
	v := f()
	computed.Store(key, v)
	return v
}

// Critical is the critical value of k comparisons with one reference (Dunnett 1955), see
// dunnett; computed once.
func Critical(level float64, k int, degrees float64) float64 {
	return once(criticalKey{level, degrees, k}, func() float64 { return dunnett(level, k, degrees) })
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

// detectable is the mean, in standard errors, of an estimate whose quotient by its estimated standard
// error is beyond the critical value with a chance of Power: the quotient has Student's noncentral t
// distribution. The chance of the wrong sign, less than 1e-4, is left out.
func detectable(critical, degrees float64) float64 {
	if math.IsNaN(critical) || math.IsNaN(degrees) {
		return math.NaN()
	}
	return once(detectableKey{critical, degrees}, func() float64 { return noncentral(critical, degrees) })
}

func noncentral(critical, degrees float64) float64 {
	power := func(mean float64) float64 {
		return overRatio(degrees, func(s float64) float64 { return distuv.UnitNormal.CDF(mean - critical*s) })
	}
	lo, hi := 0.0, 2*critical+2
	for power(hi) < Power && hi < 1e6 {
		hi *= 2
	}
	for range 40 {
		if mid := (lo + hi) / 2; power(mid) < Power {
			lo = mid
		} else {
			hi = mid
		}
	}
	return (lo + hi) / 2
}

// overRatio is the mean of f over the ratio s of estimated to true standard deviation: over
// quantiles of s, so that small and large degrees are integrated alike.
func overRatio(degrees float64, f func(s float64) float64) float64 {
	if math.IsInf(degrees, 1) || degrees > 1e6 {
		return f(1)
	}
	chi := distuv.ChiSquared{K: degrees}
	return quad.Fixed(func(p float64) float64 { return f(math.Sqrt(chi.Quantile(p) / degrees)) }, 0, 1, 40, quad.Legendre{}, 0)
}

// covered is P(max |T_i| ≤ c): given the reference's deviation z and the ratio s of
// estimated to true standard deviation, the k variables are independent.
func covered(c float64, k int, degrees float64) float64 {
	const reach = 8.5 // normal deviations
	return overRatio(degrees, func(s float64) float64 {
		return quad.Fixed(func(z float64) float64 {
			p := distuv.UnitNormal.CDF(c*s*math.Sqrt2+z) - distuv.UnitNormal.CDF(-c*s*math.Sqrt2+z)
			return math.Pow(p, float64(k)) * distuv.UnitNormal.Prob(z)
		}, -reach, reach, 48, quad.Legendre{}, 0)
	})
}
