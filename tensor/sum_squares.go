package tensor

import (
	"fmt"
	"strconv"

	"concord/gpu"
)

type sumSquaresParams struct{ N4, Slots uint32 }

// PendingSums are sums of squares on their way to the host.
type PendingSums struct {
	read *gpu.Readback
	ends []int // in partial sums
}

// SumSquaresScratch allocates the partial sums for SumSquares of tensors that
// have the shapes of xs. Like a GramScratch it may serve calls in flight.
func (e *Engine) SumSquaresScratch(xs ...Tensor) Tensor {
	return e.NewSumSquaresScratch(e.SumSquaresSlots(xs...))
}

// SumSquaresSlots is the partial sums of tensors that have the shapes of xs.
func (e *Engine) SumSquaresSlots(xs ...Tensor) (total int) {
	for _, x := range xs {
		for _, c := range e.flatCuts(x.R*x.LD, blockUnit) {
			total += slotsOf(c[1]-c[0], e.stripOf(c[1]-c[0]))
		}
	}
	return total
}

// NewSumSquaresScratch is SumSquaresScratch of so many partial sums.
func (e *Engine) NewSumSquaresScratch(slots int) Tensor {
	return e.New(gpu.RoleScratch, "sums of squares", 1, max(slots, 1))
}

// SumSquares starts Σ x² of each tensor, with one readback for all. scratch is
// from SumSquaresScratch. Summation is blocked in float32 on the device and
// finished in float64 on the host.
func (e *Engine) SumSquares(scratch Tensor, xs ...Tensor) *PendingSums {
	p := &PendingSums{}
	at := 0
	for _, x := range xs {
		for _, c := range e.flatCuts(x.R*x.LD, blockUnit) {
			n := c[1] - c[0]
			slots := slotsOf(n, e.stripOf(n)) // a multiple of 64: every range starts at a multiple of 256 bytes
			if at+slots > scratch.LD {
				panic(fmt.Sprintf("tensor: sum squares: scratch %v is too small for %v", scratch, x))
			}
			e.run(call{kernel: "sum_squares", params: sumSquaresParams{vec4s(n), uint32(slots)},
				consts: map[string]string{"STRIP": strconv.Itoa(e.stripOf(n))},
				binds:  []gpu.View{f32View(x, c[0], n), f32View(scratch, at, slots)},
				groups: grid(slots / 64), work: e.moving(f32Bytes(n), int64(n)*2)})
			at += slots
		}
		p.ends = append(p.ends, at)
	}
	p.read = e.Dev.Read(f32View(scratch, 0, at))
	return p
}

// Wait returns the sums in the order of the tensors.
func (p *PendingSums) Wait() ([]float64, error) {
	b, err := p.read.Wait()
	if err != nil {
		return nil, fmt.Errorf("tensor: sum squares: %w", err)
	}
	out := make([]float64, len(p.ends))
	start := 0
	for i, end := range p.ends {
		out[i] = sumFloats(b[f32Bytes(start):f32Bytes(end)])
		start = end
	}
	return out, nil
}
