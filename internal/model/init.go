package model

import (
	"fmt"
	"hash/fnv"
	"math"

	"concord/tensor"
)

// InitRandom fills w, but for an adapter, as Hugging Face initialises a model: matrices from
// N(0, initializer_range²), norms the identity, biases 0. Value i of a parameter is a function of
// (seed, name, i) alone.
func InitRandom(e *tensor.Engine, c Config, w Weights, seed uint64) error {
	for _, p := range newNetwork(c).params() {
		if p.adapter {
			continue
		}
		data := make([]float32, p.Size())
		if p.Kind.Vector() {
			for i := range data {
				data[i] = p.initial
			}
		} else {
			normal(data, seed, p.Name, c.InitializerRange)
		}
		e.Upload(w.Weight(p.Name), data)
	}
	if err := e.Dev.Err(); err != nil {
		return fmt.Errorf("model: random weights: %w", err)
	}
	return nil
}

// normal draws N(0, deviation²) by Box and Muller's transform of hashed counters.
func normal(dst []float32, seed uint64, name string, deviation float64) {
	draw := drawer(seed, name)
	for i := 0; i < len(dst); i += 2 {
		r := deviation * math.Sqrt(-2*math.Log(draw(i)))
		sin, cos := math.Sincos(2 * math.Pi * draw(i+1))
		dst[i] = float32(r * cos)
		if i+1 < len(dst) {
			dst[i+1] = float32(r * sin)
		}
	}
}

// uniform draws from (-bound, bound).
func uniform(dst []float32, seed uint64, name string, bound float64) {
	draw := drawer(seed, name)
	for i := range dst {
		dst[i] = float32(bound * (2*draw(i) - 1))
	}
}

// drawer is the i-th number in (0, 1) of a parameter's sequence, by hashed counters.
func drawer(seed uint64, name string) func(i int) float64 {
	h := fnv.New64a()
	h.Write([]byte(name))
	key := mix64(mix64(seed) ^ h.Sum64())
	return func(i int) float64 { return (float64(mix64(key+uint64(i))>>11) + 0.5) / (1 << 53) }
}

// mix64 is the output function of SplitMix64 (Steele, Lea, Flood 2014).
func mix64(x uint64) uint64 {
	x += 0x9e3779b97f4a7c15
	x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
	x = (x ^ x>>27) * 0x94d049bb133111eb
	return x ^ x>>31
}
