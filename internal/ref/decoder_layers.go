package ref

import (
	"math"
	"slices"
)

// linear is y = x Wᵀ + b for x (N, cols), W (rows, cols), or with an adapter.
//
//	dx = dy W,   dW = dyᵀ x,   db = Σ dy
func (d *Decoder) linear(name string, rows, cols int, x []float64) ([]float64, pullback) {
	if _, ok := d.Params[name+".lora_A"]; ok {
		return d.adapted(name, rows, cols, x)
	}
	return d.plainLinear(name, rows, cols, x)
}

func (d *Decoder) plainLinear(name string, rows, cols int, x []float64) ([]float64, pullback) {
	w, n := d.param(name), len(x)/cols
	bias, biased := d.Params[name+".bias"]
	y := make([]float64, n*rows)
	for i := range n {
		for r := range rows {
			y[i*rows+r] = dot64(x[i*cols:][:cols], w[r*cols:][:cols])
			if biased {
				y[i*rows+r] += bias[r]
			}
		}
	}
	return y, func(dy []float64, g gradients) []float64 {
		dx := make([]float64, n*cols)
		for i := range n {
			for r := range rows {
				v := dy[i*rows+r]
				if v == 0 {
					continue
				}
				axpy64(g[name][r*cols:][:cols], v, x[i*cols:][:cols])
				axpy64(dx[i*cols:][:cols], v, w[r*cols:][:cols])
				if biased {
					g[name+".bias"][r] += v
				}
			}
		}
		return dx
	}
}

// norm is y = w x r, r = 1/√(mean(x²) + eps), for rows of width c.
//
//	dx = r (w dy − x r² mean(w dy x)),   dw = Σ dy x r
func (d *Decoder) norm(name string, c int, x []float64) ([]float64, pullback) {
	if d.LayerNorm {
		return d.layerNorm(name, c, x)
	}
	w := slices.Clone(d.param(name))
	for j := range w {
		w[j] += d.NormOffset
	}
	y, rstd := make([]float64, len(x)), make([]float64, len(x)/c)
	for i := range rstd {
		row := x[i*c:][:c]
		rstd[i] = 1 / math.Sqrt(dot64(row, row)/float64(c)+d.Eps)
		for j, v := range row {
			y[i*c+j] = v * rstd[i] * w[j]
		}
	}
	return y, func(dy []float64, g gradients) []float64 {
		dx := make([]float64, len(dy))
		for i, r := range rstd {
			row, dr, mean := x[i*c:][:c], dy[i*c:][:c], 0.0
			for j, v := range dr {
				g[name][j] += v * row[j] * r
				mean += v * w[j] * row[j] * r / float64(c)
			}
			for j, v := range dr {
				dx[i*c+j] = r * (v*w[j] - row[j]*r*mean)
			}
		}
		return dx
	}
}

// layerNorm is y = w h + b, h = (x − mean(x)) / √(var(x) + eps), for rows of width c.
//
//	dx = (w dy − mean(w dy) − h mean(w dy h)) / √(var(x) + eps),   dw = Σ dy h,   db = Σ dy
func (d *Decoder) layerNorm(name string, c int, x []float64) ([]float64, pullback) {
	w, bias := d.param(name), d.param(name+".bias")
	y, h, rstd := make([]float64, len(x)), make([]float64, len(x)), make([]float64, len(x)/c)
	for i := range rstd {
		mean, square := 0.0, 0.0
		for _, v := range x[i*c:][:c] {
			mean += v / float64(c)
			square += v * v / float64(c)
		}
		rstd[i] = 1 / math.Sqrt(square-mean*mean+d.Eps)
		for j, v := range x[i*c:][:c] {
			h[i*c+j] = (v - mean) * rstd[i]
			y[i*c+j] = w[j]*h[i*c+j] + bias[j]
		}
	}
	return y, func(dy []float64, g gradients) []float64 {
		dx := make([]float64, len(dy))
		for i, r := range rstd {
			row, dr, plain, along := h[i*c:][:c], dy[i*c:][:c], 0.0, 0.0
			for j, v := range dr {
				g[name][j] += v * row[j]
				g[name+".bias"][j] += v
				plain += v * w[j] / float64(c)
				along += v * w[j] * row[j] / float64(c)
			}
			for j, v := range dr {
				dx[i*c+j] = r * (v*w[j] - plain - row[j]*along)
			}
		}
		return dx
	}
}

// mlp is y = (act(x Gᵀ) ⊙ x Uᵀ) Dᵀ.
func (d *Decoder) mlp(at func(string) string, x []float64) ([]float64, pullback) {
	if d.Plain {
		return d.plainMLP(at, x)
	}
	gate, backGate := d.linear(at("gate"), d.FFN, d.Hidden, x)
	up, backUp := d.linear(at("up"), d.FFN, d.Hidden, x)
	act := silu64
	if d.GELU {
		act = gelu64
	}
	h := make([]float64, len(gate))
	for j, v := range gate {
		value, _ := act(v)
		h[j] = value * up[j]
	}
	y, backDown := d.linear(at("down"), d.Hidden, d.FFN, h)
	return y, func(dy []float64, g gradients) []float64 {
		dh := backDown(dy, g)
		dgate, dup := make([]float64, len(dh)), make([]float64, len(dh))
		for j, v := range dh {
			value, slope := act(gate[j])
			dup[j], dgate[j] = v*value, v*up[j]*slope
		}
		return add64(backGate(dgate, g), backUp(dup, g))
	}
}

// plainMLP is y = gelu(x Uᵀ + u) Dᵀ + d.
func (d *Decoder) plainMLP(at func(string) string, x []float64) ([]float64, pullback) {
	up, backUp := d.linear(at("up"), d.FFN, d.Hidden, x)
	h, slope := make([]float64, len(up)), make([]float64, len(up))
	for j, v := range up {
		h[j], slope[j] = gelu64(v)
	}
	y, backDown := d.linear(at("down"), d.Hidden, d.FFN, h)
	return y, func(dy []float64, g gradients) []float64 {
		dup := backDown(dy, g)
		for j := range dup {
			dup[j] *= slope[j]
		}
		return backUp(dup, g)
	}
}

// silu64 is x/(1+exp(−x)) and its derivative.
func silu64(x float64) (value, slope float64) {
	s := 1 / (1 + math.Exp(-x))
	return x * s, s * (1 + x*(1-s))
}

func logSumExp64(x []float64) float64 {
	top := math.Inf(-1)
	for _, v := range x {
		top = max(top, v)
	}
	sum := 0.0
	for _, v := range x {
		sum += math.Exp(v - top)
	}
	return top + math.Log(sum)
}

func dot64(a, b []float64) float64 {
	sum := 0.0
	for i, v := range a {
		sum += v * b[i]
	}
	return sum
}

// axpy64 is y += alpha x.
func axpy64(y []float64, alpha float64, x []float64) {
	for i, v := range x {
		y[i] += alpha * v
	}
}

func add64(a, b []float64) []float64 {
	out := make([]float64, len(a))
	for i := range a {
		out[i] = a[i] + b[i]
	}
	return out
}
