package ref

import (
	"maps"
	"math"
)

// adapted is linear with an adapter, whose matrices are among Params: name.lora_A (r, in),
// name.lora_B (out, r), and name.magnitude (out) with DoRA; s is AdapterScale(name).
//
//	W' = W + s B A,   or W'_j = m_j V_j / ‖V_j‖ for the rows of V = W + s B A
//	dB = s dW' Aᵀ,   dA = s Bᵀ dW';   with DoRA dV_j = m_j dW'_j / ‖V_j‖ in place of dW', dm_j = dW'_j · V_j / ‖V_j‖
//
// The norm counts as a constant (arXiv:2402.09353, section 4.3). With a mask of Dropped, y =
// x Wᵀ + (x ⊙ mask) (W' − W)ᵀ.
func (d *Decoder) adapted(name string, rows, cols int, x []float64) ([]float64, pullback) {
	a, b, s := d.param(name+".lora_A"), d.param(name+".lora_B"), d.AdapterScale(name)
	rank := len(a) / cols
	v := append([]float64{}, d.param(name)...)
	for r := range rows {
		for k := range rank {
			axpy64(v[r*cols:][:cols], s*b[r*rank+k], a[k*cols:][:cols])
		}
	}
	magnitude, dora := d.Params[name+".magnitude"]
	factor, norms := make([]float64, rows), make([]float64, rows)
	w := append([]float64{}, v...)
	for r := range rows {
		row := v[r*cols:][:cols]
		factor[r], norms[r] = 1, math.Sqrt(dot64(row, row))
		if dora {
			factor[r] = magnitude[r] / norms[r]
			for j := range row {
				w[r*cols+j] *= factor[r]
			}
		}
	}
	with := *d
	with.Params = maps.Clone(d.Params)
	with.Params[name] = w
	y, back := d.maskedLinear(&with, name, rows, cols, x)
	return y, func(dy []float64, g gradients) []float64 {
		whole := gradients{name: make([]float64, len(w)), name + ".bias": g[name+".bias"]}
		dx := back(dy, whole)
		for r := range rows {
			dw, row := whole[name][r*cols:][:cols], v[r*cols:][:cols]
			if dora {
				g[name+".magnitude"][r] += dot64(dw, row) / norms[r]
			}
			for k := range rank {
				g[name+".lora_B"][r*rank+k] += s * factor[r] * dot64(dw, a[k*cols:][:cols])
				axpy64(g[name+".lora_A"][k*cols:][:cols], s*factor[r]*b[r*rank+k], dw)
			}
		}
		return dx
	}
}

// maskedLinear is with's map, of W'; or, where inputs are dropped, d's own and the difference
// of the two on x ⊙ mask.
func (d *Decoder) maskedLinear(with *Decoder, name string, rows, cols int, x []float64) ([]float64, pullback) {
	if d.Dropped == nil {
		return with.plainLinear(name, rows, cols, x)
	}
	mask, kept := d.Dropped(name, cols), make([]float64, len(x))
	for i, v := range mask {
		kept[i] = x[i] * v
	}
	for i, v := range d.param(name) {
		with.Params[name][i] -= v
	}
	delete(with.Params, name+".bias")
	y, back := d.plainLinear(name, rows, cols, x)
	z, backKept := with.plainLinear(name, rows, cols, kept)
	for i, v := range z {
		y[i] += v
	}
	return y, func(dy []float64, g gradients) []float64 {
		dx := back(dy, gradients{name: make([]float64, rows*cols), name + ".bias": g[name+".bias"]})
		for i, v := range backKept(dy, g) {
			dx[i] += v * mask[i]
		}
		return dx
	}
}
