package tensor

import (
	"fmt"
	"math"
	"testing"

	"concord/internal/optest"
	"concord/internal/ref"
)

func TestRoPE(t *testing.T) {
	e := testEngine(t)
	for _, c := range []struct{ n, heads, d, rotated, maxPos int }{
		{1, 1, 4, 4, 1},
		{7, 3, 12, 12, 9},
		{7, 3, 12, 4, 9},
		{31, 4, 8, 8, 64},
		{33, 9, 64, 64, 64},
		{33, 9, 64, 48, 64},
		{257, 2, 128, 128, 300},
		{65, 1, 256, 256, 65},
		{67001, 4, 64, 64, 16}, // 67,001 workgroups, and a ragged one
	} {
		for _, inverse := range []bool{false, true} {
			t.Run(fmt.Sprintf("n%d,h%d,d%d of %d,inverse=%v", c.n, c.heads, c.rotated, c.d, inverse), func(t *testing.T) {
				cos, sin := RoPETables(c.maxPos, c.rotated, 10000, RoPEScaling{})
				data, pos := optest.Random(c.n*c.heads*c.d, 1), make([]uint32, c.n)
				for i := range pos {
					pos[i] = uint32(i * 7 % c.maxPos)
				}
				gpos, gcos, gsin := uploadDocs(e, pos), upload(e, c.maxPos, c.rotated/2, cos), upload(e, c.maxPos, c.rotated/2, sin)
				rotate := func() []float32 {
					x := guarded(e, c.n, c.heads*c.d)
					defer x.Buf.Release()
					e.Upload(x, data)
					e.RoPE(x, c.heads, gpos, gcos, gsin, inverse)
					checkGuards(t, e, x)
					return download(t, e, x)
				}
				got := rotate()
				if at := optest.Bits(got, rotate()); at >= 0 {
					t.Errorf("two runs differ at %d", at)
				}
				ref.RoPE(data, c.heads, pos, cos, sin, c.d, c.rotated, inverse)
				if err := optest.Compare(got, data, 1e-13); err != nil {
					t.Error(err)
				}
			})
		}
	}
}

// TestRoPEInverse rotates forth and back.
func TestRoPEInverse(t *testing.T) {
	e := testEngine(t)
	const n, heads, d = 13, 2, 32
	cos, sin := RoPETables(64, d, 10000, RoPEScaling{})
	gcos, gsin := upload(e, 64, d/2, cos), upload(e, 64, d/2, sin)
	pos := make([]uint32, n)
	for i := range pos {
		pos[i] = uint32(60 - 3*i)
	}
	data := optest.Random(n*heads*d, 1)
	x := upload(e, n, heads*d, data)
	e.RoPE(x, heads, uploadDocs(e, pos), gcos, gsin, false)
	e.RoPE(x, heads, uploadDocs(e, pos), gcos, gsin, true)
	if err := optest.Compare(download(t, e, x), data, 1e-13); err != nil {
		t.Error(err)
	}
}

func TestRoPETables(t *testing.T) {
	cos, sin := RoPETables(3, 4, 100, RoPEScaling{})
	for i, want := range []float64{0, 0, 1, 0.1, 2, 0.2} { // angles: frequencies 1 and 100^-0.5
		if math.Abs(float64(cos[i])-math.Cos(want)) > 1e-7 || math.Abs(float64(sin[i])-math.Sin(want)) > 1e-7 {
			t.Errorf("entry %d: cos %v sin %v, want angle %v", i, cos[i], sin[i], want)
		}
	}
}

func TestRoPEScaling(t *testing.T) {
	linear := RoPEScaling{Type: "linear", Factor: 4}
	llama3 := RoPEScaling{Type: "llama3", Factor: 8, LowFreqFactor: 1, HighFreqFactor: 4, OriginalMaxPosition: 8192}
	wave := func(w float64) float64 { return 2 * math.Pi / w }
	for _, c := range []struct {
		name    string
		s       RoPEScaling
		f, want float64
	}{
		{"none", RoPEScaling{}, 0.3, 0.3},
		{"default", RoPEScaling{Type: "default", Factor: 9}, 0.3, 0.3},
		{"linear", linear, 0.3, 0.075},
		{"llama3 short wave", llama3, wave(2047), wave(2047)},
		{"llama3 long wave", llama3, wave(8193), wave(8193) / 8},
		{"llama3 middle", llama3, wave(4096), (1-1.0/3)*wave(4096)/8 + wave(4096)/3}, // s = (2-1)/(4-1)
	} {
		if got := c.s.scaled(c.f); math.Abs(got-c.want) > 1e-15 {
			t.Errorf("%s: %v, want %v", c.name, got, c.want)
		}
	}
	for _, s := range []RoPEScaling{{Type: "yarn", Factor: 2}, {Type: "longrope", Factor: 2}, {Type: "dynamic"}, {Type: "linear"},
		{Type: "llama3", Factor: 8}, {Type: "linear", Factor: math.NaN()}} {
		if s.Validate() == nil {
			t.Errorf("%+v is accepted", s)
		}
	}
}

// What Hugging Face's function computes, transformers 5.24.
func TestYarn(t *testing.T) {
	base := RoPEScaling{Type: "yarn", Factor: 4, OriginalMaxPosition: 256}
	usual := []float64{1, 0.2569350600242615, 0.0625, 0.013834965415298939, 0.0024999999441206455, 0.0007905694656074047,
		0.0002500000118743628, 7.905694656074047e-05}
	ramp := []float64{1, 0.3162277638912201, 0.06349658966064453, 0.007905694656074047, 0.0024999999441206455, 0.0007905694656074047,
		0.0002500000118743628, 7.905694656074047e-05}
	for _, c := range []struct {
		change func(s *RoPEScaling)
		want   []float64
		factor float64
	}{
		{func(s *RoPEScaling) {}, usual, 1.138629436111989},
		{func(s *RoPEScaling) { s.BetaFast, s.BetaSlow, s.Untruncated = 8, 2, true }, ramp, 1.138629436111989},
		{func(s *RoPEScaling) { s.MScale, s.MScaleAll = 1, 0.8 }, usual, 1.0249579607969668},
		{func(s *RoPEScaling) { s.AttentionFactor = 1.25 }, usual, 1.25},
	} {
		s := base
		c.change(&s)
		got, factor := s.Frequencies(16, 10000)
		for j, f := range got {
			if math.Abs(f-c.want[j]) > 2e-7*c.want[j] {
				t.Errorf("%+v: frequency %d is %v, want %v", s, j, f, c.want[j])
			}
		}
		if math.Abs(factor-c.factor) > 1e-12 {
			t.Errorf("%+v: factor %v, want %v", s, factor, c.factor)
		}
	}
	cos, _ := RoPETables(1, 16, 10000, base)
	if math.Abs(float64(cos[0])-1.138629436111989) > 1e-6 {
		t.Errorf("cos of position 0 is %v", cos[0])
	}
}
