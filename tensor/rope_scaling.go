package tensor

import (
	"fmt"
	"math"
)

// RoPEScaling stretches the rotary frequencies for contexts longer than the
// pre-training's, as Hugging Face's functions of the same names do. The zero
// value is no scaling.
type RoPEScaling struct {
	// Type is "" or "default": none; "linear" (arXiv:2306.15595); "dynamic", which
	// has an effect beyond the model's context only and so none here; "llama3";
	// "yarn" (arXiv:2309.00071).
	Type                string
	Factor              float64 // divides frequencies
	LowFreqFactor       float64 // llama3: wavelengths above OriginalMaxPosition/LowFreqFactor are divided by Factor
	HighFreqFactor      float64 // llama3: wavelengths below OriginalMaxPosition/HighFreqFactor are kept
	OriginalMaxPosition float64 // llama3, yarn: the pre-training's context in tokens
	BetaFast, BetaSlow  float64 // yarn: rotations in that context above which frequencies are kept, below which divided; 0 = 32 and 1
	MScale, MScaleAll   float64 // yarn: make the attention factor, where both are given
	AttentionFactor     float64 // yarn: of cos and sin; 0 = from MScale and MScaleAll, else from Factor
	Untruncated         bool    // yarn: the bounds of the ramp are not rounded outwards
}

// Validate names the fault of s, a value read from a model's config.json.
func (s RoPEScaling) Validate() error {
	switch s.Type {
	case "", "default":
		return nil
	case "linear", "llama3", "dynamic", "yarn":
	default:
		return fmt.Errorf("tensor: rope scaling: unknown type %q; known are default, linear, dynamic, llama3, yarn", s.Type)
	}
	if !(s.Factor > 0) {
		return fmt.Errorf("tensor: rope scaling %s: factor is %v, must be positive", s.Type, s.Factor)
	}
	if s.Type == "llama3" && !(s.LowFreqFactor > 0 && s.HighFreqFactor > s.LowFreqFactor && s.OriginalMaxPosition > 0) {
		return fmt.Errorf("tensor: rope scaling llama3: need 0 < low_freq_factor (%v) < high_freq_factor (%v) "+
			"and original_max_position_embeddings (%v) > 0",
			s.LowFreqFactor, s.HighFreqFactor, s.OriginalMaxPosition)
	}
	if s.Type == "yarn" && !(s.OriginalMaxPosition > 0 && s.BetaFast >= 0 && s.BetaSlow >= 0 && s.AttentionFactor >= 0) {
		return fmt.Errorf("tensor: rope scaling yarn: need original_max_position_embeddings (%v) > 0 "+
			"and beta_fast (%v), beta_slow (%v), attention_factor (%v) not negative",
			s.OriginalMaxPosition, s.BetaFast, s.BetaSlow, s.AttentionFactor)
	}
	return nil
}

// Frequencies are the angular frequencies, radians per position, of dim rotated
// values, and the factor of their cosines and sines.
func (s RoPEScaling) Frequencies(dim int, theta float64) (f []float64, factor float64) {
	f = make([]float64, dim/2)
	for j := range f {
		f[j] = s.scaled(math.Pow(theta, -2*float64(j)/float64(dim)))
	}
	if s.Type != "yarn" {
		return f, 1
	}
	low, high := s.ramp(dim, theta)
	for j := range f {
		divided := min(max((float64(j)-low)/(high-low), 0), 1)
		f[j] = f[j]*(1-divided) + f[j]/s.Factor*divided
	}
	return f, s.attentionFactor()
}

// scaled is the frequency f where scaling depends on nothing else.
func (s RoPEScaling) scaled(f float64) float64 {
	switch s.Type {
	case "linear":
		return f / s.Factor
	case "llama3":
		wavelength := 2 * math.Pi / f
		if wavelength < s.OriginalMaxPosition/s.HighFreqFactor {
			return f
		}
		if wavelength > s.OriginalMaxPosition/s.LowFreqFactor {
			return f / s.Factor
		}
		smooth := (s.OriginalMaxPosition/wavelength - s.LowFreqFactor) / (s.HighFreqFactor - s.LowFreqFactor)
		return (1-smooth)*f/s.Factor + smooth*f
	}
	return f
}

// ramp is the indices of the frequencies between which yarn goes from keeping to
// dividing them: those that turn BetaFast and BetaSlow times in the
// pre-training's context.
func (s RoPEScaling) ramp(dim int, theta float64) (low, high float64) {
	turning := func(rotations float64) float64 {
		return float64(dim) * math.Log(s.OriginalMaxPosition/(rotations*2*math.Pi)) / (2 * math.Log(theta))
	}
	low, high = turning(orDefault(s.BetaFast, 32)), turning(orDefault(s.BetaSlow, 1))
	if !s.Untruncated {
		low, high = math.Floor(low), math.Ceil(high)
	}
	low, high = max(low, 0), min(high, float64(dim-1))
	if low == high {
		high += 0.001
	}
	return low, high
}

func orDefault(x, absent float64) float64 {
	if x == 0 {
		return absent
	}
	return x
}

func (s RoPEScaling) attentionFactor() float64 {
	mscale := func(m float64) float64 {
		if s.Factor <= 1 {
			return 1
		}
		return 0.1*m*math.Log(s.Factor) + 1
	}
	switch {
	case s.AttentionFactor > 0:
		return s.AttentionFactor
	case s.MScale != 0 && s.MScaleAll != 0:
		return mscale(s.MScale) / mscale(s.MScaleAll)
	}
	return mscale(1)
}

// RoPETables returns cos and sin of position·frequency, each (maxPos, dim/2)
// row-major, for dim rotated values of a head, times scaling's factor. They are
// computed in float64 and rounded once. dim must be even and scaling valid.
func RoPETables(maxPos, dim int, theta float64, scaling RoPEScaling) (cos, sin []float32) {
	if err := scaling.Validate(); err != nil {
		panic(err.Error()) // config checking calls Validate before
	}
	half := dim / 2
	cos, sin = make([]float32, maxPos*half), make([]float32, maxPos*half)
	frequencies, factor := scaling.Frequencies(dim, theta)
	for j, f := range frequencies {
		for position := range maxPos {
			s, c := math.Sincos(float64(position) * f)
			cos[position*half+j], sin[position*half+j] = float32(factor*c), float32(factor*s)
		}
	}
	return cos, sin
}
