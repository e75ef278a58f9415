package doctor

import (
	"encoding/binary"
	"hash"
	"hash/fnv"
	"math"

	"concord/internal/optest"
	"concord/tensor"
)

// Probe is the engine that the tests of one kernel run on. It keeps the largest
// error that they meet, and a hash of everything that the device gave back, by
// which two runs are compared bit for bit.
type Probe struct {
	*tensor.Engine
	seen   *seen
	forced map[string]*Probe // by variant of the matrix product
}

// seen has the largest errors of the tests of one kernel.
type seen struct {
	nmse   float64 // the largest
	values int
	bits   hash.Hash64
}

func newProbe(e *tensor.Engine) *Probe {
	return &Probe{Engine: e, seen: &seen{bits: fnv.New64a()}, forced: map[string]*Probe{}}
}

// begin forgets the errors of earlier tests; compiled kernels stay.
func (p *Probe) begin() {
	p.seen.nmse, p.seen.values = 0, 0
	p.seen.bits.Reset()
}

// variant is p with one variant of the matrix product forced. Its errors count
// for p.
func (p *Probe) variant(name string) *Probe {
	f := p.forced[name]
	if f == nil {
		f = &Probe{Engine: tensor.NewEngine(p.Dev, tensor.Options{Variant: name}), seen: p.seen}
		p.forced[name] = f
	}
	return f
}

// asGPU is p with the kernels that are chosen on a GPU.
func (p *Probe) asGPU() *Probe {
	return &Probe{Engine: tensor.NewEngine(p.Dev, tensor.Options{NoAutotune: true, TreatAsGPU: true}), seen: p.seen}
}

// compare is optest.Compare, and keeps the error.
func (p *Probe) compare(got, want []float32, tol float64) error {
	if len(got) == len(want) {
		p.note(optest.NMSE(got, want))
	}
	keep(p, got)
	return optest.Compare(got, want, tol)
}

// compareGram returns the largest error of a Gram of m rows in units of √(GᵢᵢGⱼⱼ),
// and its place, and keeps the mean square of all of them.
func (p *Probe) compareGram(got, want []float64, m int) (worst float64, at int) {
	keep(p, got)
	var sum float64
	for i := range m {
		for j := range m {
			k := i*m + j
			scale := math.Sqrt(want[i*m+i] * want[j*m+j])
			d := math.Abs(got[k] - want[k])
			if scale > 0 {
				d /= scale // of a row of zeros every entry must be zero: the error itself counts
			}
			if sum += d * d; !(d <= worst) { // also when NaN
				worst, at = d, k
			}
		}
	}
	p.note(sum / float64(m*m))
	return worst, at
}

// keep adds values that the device gave back to the hash.
func keep[T float32 | float64](p *Probe, values []T) {
	binary.Write(p.seen.bits, binary.LittleEndian, values) // a hash does not fail
	p.seen.values += len(values)
}

// note keeps the largest error; one that is not finite is the largest number, as JSON
// has no other.
func (p *Probe) note(nmse float64) {
	if !(nmse <= math.MaxFloat64) {
		nmse = math.MaxFloat64
	}
	p.seen.nmse = max(p.seen.nmse, nmse)
}
