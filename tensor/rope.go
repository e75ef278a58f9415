package tensor

import (
	"fmt"
	"math"

	"concord/gpu"
)

// RoPEScaling stretches the rotary frequencies for contexts longer than the
// pre-training's. The zero value is no scaling.
type RoPEScaling struct {
	Type                string  // "" or "default": none; "linear"; "llama3"
	Factor              float64 // divides frequencies
	LowFreqFactor       float64 // llama3: wavelengths above OriginalMaxPosition/LowFreqFactor are divided by Factor
	HighFreqFactor      float64 // llama3: wavelengths below OriginalMaxPosition/HighFreqFactor are kept
	OriginalMaxPosition float64 // llama3: the pre-training's context in tokens
}

// Validate says what is wrong with s, a value read from a model's config.json.
func (s RoPEScaling) Validate() error {
	switch s.Type {
	case "", "default":
		return nil
	case "linear", "llama3":
	default:
		return fmt.Errorf("tensor: rope scaling: unknown type %q; known are default, linear, llama3", s.Type)
	}
	if !(s.Factor > 0) {
		return fmt.Errorf("tensor: rope scaling %s: factor is %v, must be positive", s.Type, s.Factor)
	}
	if s.Type == "llama3" && !(s.LowFreqFactor > 0 && s.HighFreqFactor > s.LowFreqFactor && s.OriginalMaxPosition > 0) {
		return fmt.Errorf("tensor: rope scaling llama3: need 0 < low_freq_factor (%v) < high_freq_factor (%v) and original_max_position_embeddings (%v) > 0",
			s.LowFreqFactor, s.HighFreqFactor, s.OriginalMaxPosition)
	}
	return nil
}

// frequency is the scaled form of the angular frequency f (radians per
// position), as Hugging Face's rope initialisation functions define it.
func (s RoPEScaling) frequency(f float64) float64 {
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

// RoPETables returns cos and sin of position·frequency, each (maxPos,
// headDim/2) row-major, with frequency j = theta^(-2j/headDim), scaled. They are
// computed in float64 and rounded once. headDim must be even and scaling valid.
func RoPETables(maxPos, headDim int, theta float64, scaling RoPEScaling) (cos, sin []float32) {
	if err := scaling.Validate(); err != nil {
		panic(err.Error()) // config checking calls Validate before
	}
	half := headDim / 2
	cos, sin = make([]float32, maxPos*half), make([]float32, maxPos*half)
	for j := range half {
		f := scaling.frequency(math.Pow(theta, -2*float64(j)/float64(headDim)))
		for position := range maxPos {
			s, c := math.Sincos(float64(position) * f)
			cos[position*half+j], sin[position*half+j] = float32(c), float32(s)
		}
	}
	return cos, sin
}

// ropeParams is struct Params of rope_apply.wgsl.
type ropeParams struct {
	Pairs, Heads, Half, XLD, TableLD uint32
	Sign                             float32
}

// RoPE rotates x, (N, heads*D), in place: half-split rotary position embedding
// in the convention of Hugging Face checkpoints (rotate_half). Token i stands
// at position pos[i], pos (1, N) uint32, each less than the rows of the tables
// cos and sin, (maxPos, D/2) from RoPETables. inverse applies the transposed
// rotation, which is the backward: dx from dout, in place. D must be a multiple
// of 4.
func (e *Engine) RoPE(x Tensor, heads int, pos Tensor, cos, sin Tensor, inverse bool) {
	d := x.C / max(heads, 1)
	if heads < 1 || x.C != heads*d || d%4 != 0 || d == 0 || pos.R*pos.C != x.R || cos.C != d/2 || sin.C != d/2 || cos.R != sin.R || cos.LD != sin.LD {
		panic(fmt.Sprintf("tensor: rope: x %v with %d heads, pos %v, cos %v, sin %v", x, heads, pos, cos, sin))
	}
	const wg = 64 // rope_apply's default
	pairs := x.R * int(vec4s(x.C))
	sign := float32(1)
	if inverse {
		sign = -1
	}
	if pairs == 0 {
		return
	}
	e.run(call{
		kernel: "rope_apply",
		params: ropeParams{Pairs: uint32(pairs), Heads: uint32(heads), Half: vec4s(d), XLD: uint32(x.LD / 2), TableLD: uint32(cos.LD / 2), Sign: sign},
		binds:  []gpu.View{pos.View(), cos.View(), sin.View(), x.View()},
		groups: grid(ceilDiv(pairs, wg)),
		work:   e.moving(int64(pairs)*32, int64(pairs)*12),
	})
}
