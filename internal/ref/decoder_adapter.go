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

// adaptedTable is forward with E + s A Bᵀ in E's place, embed.lora_A (Vocab, r) and embed.lora_B
// (Hidden, r). A tied head becomes one of its own with an adapter whose A is Bᵀ and whose B is A.
//
//	dA = s dE B,   dB = s dEᵀ A
func (d *Decoder) adaptedTable(b DecoderBatch) ([]float64, pullback) {
	const rows, cols = "embed.lora_A", "embed.lora_B"
	x, y, s, c := d.param(rows), d.param(cols), d.AdapterScale("embed"), d.Hidden
	rank := len(y) / c
	with := *d
	with.Params = maps.Clone(d.Params)
	delete(with.Params, rows)
	table := append([]float64{}, d.param("embed")...)
	for i := range table {
		table[i] += s * dot64(x[i/c*rank:][:rank], y[i%c*rank:][:rank])
	}
	_, untied := d.Params["head"]
	if !untied {
		with.Params["head"], with.Params["head.lora_B"] = d.param("embed"), x
		with.Params["head.lora_A"] = transpose64(y, c, rank)
		with.AdapterScale = func(name string) float64 {
			if name == "head" {
				name = "embed"
			}
			return d.AdapterScale(name)
		}
	}
	with.Params["embed"] = table
	z, back := with.forward(b)
	return z, func(dy []float64, g gradients) []float64 {
		own := maps.Clone(g)
		own["embed"] = make([]float64, len(table))
		if !untied {
			own["head"], own["head.lora_B"], own["head.lora_A"] = make([]float64, len(table)), g[rows], make([]float64, len(y))
		}
		back(dy, own)
		if !untied {
			axpy64(g[cols], 1, transpose64(own["head.lora_A"], rank, c))
		}
		for i, v := range own["embed"] {
			axpy64(g[rows][i/c*rank:][:rank], s*v, y[i%c*rank:][:rank])
			axpy64(g[cols][i%c*rank:][:rank], s*v, x[i/c*rank:][:rank])
		}
		return nil
	}
}

// transpose64 is x (r, c) as (c, r).
func transpose64(x []float64, r, c int) []float64 {
	out := make([]float64, len(x))
	for i, v := range x {
		out[i%c*r+i/c] = v
	}
	return out
}
