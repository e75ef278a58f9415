package optim

import (
	"hash/fnv"
	"math"

	"concord/bucket"
	"concord/tensor"
)

// roundingKey is where the random bits of a parameter's rounding in an update begin: a
// function of these alone.
func roundingKey(seed uint64, step int64, param string) [2]uint32 {
	h := fnv.New64a()
	h.Write([]byte(param))
	x := h.Sum64() ^ mix(seed) + uint64(step)*0x9e3779b97f4a7c15
	x = mix(x)
	return [2]uint32{uint32(x), uint32(x >> 32)}
}

// mix is the output function of SplitMix64 (Steele, Lea and Flood 2014).
func mix(x uint64) uint64 {
	x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
	x = (x ^ x>>27) * 0x94d049bb133111eb
	return x ^ x>>31
}

// outerRounding tells the random bits of Round from those of the updates.
const outerRounding = "outer "

// Round makes w, all values of the parameter called param, those of its weights' element
// type, on the host: of bf16 by chance, up or down, so that the mean is right. The random
// bits are a function of the seed, of n, of the parameter and of the place in it. Padding,
// which is zeros, stays. Values are finite.
func (o *AdamW) Round(param string, n int64, w []float32) {
	p, ok := o.store.Layout.Place(param)
	if !ok || o.store.Type(bucket.Weight, p.Param) != tensor.BF16 {
		return
	}
	key := roundingKey(o.config.Seed, n, outerRounding+param)
	for i, x := range w {
		if x != 0 {
			w[i] = math.Float32frombits((math.Float32bits(x) + random(uint32(i), key)&0xffff) & 0xffff0000)
		}
	}
}

// random is 32 random bits for the value at index, as shaders/include/random.wgsl makes
// them: two rounds of PCG's output permutation (O'Neill 2014).
func random(index uint32, key [2]uint32) uint32 { return permute(permute(index^key[0]) + key[1]) }

func permute(x uint32) uint32 {
	s := x*747796405 + 2891336453
	w := ((s >> (s>>28 + 4)) ^ s) * 277803737
	return w>>22 ^ w
}
