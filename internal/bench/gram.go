package bench

import (
	"fmt"

	"concord/gpu"
	"concord/tensor"
)

// DefaultObjectives and DefaultSizes are the languages and the elements per
// bucket that Gram and combine are measured with. The first size is a layer of
// the shipped demo model.
var (
	DefaultObjectives = []int{2, 8, 16, 64}
	DefaultSizes      = []int{181504, 1 << 20, 1 << 22}
)

// GramRate is the measurement of M gradient rows of N elements. Rates count
// each byte once that must be read or written, in 10⁹ bytes per second.
type GramRate struct {
	M              int     `json:"objectives"`
	N              int     `json:"elements"`
	Skipped        string  `json:"skipped,omitempty"` // why nothing was measured
	GramSeconds    float64 `json:"gram_seconds"`      // with the readback of its sums
	CombineSeconds float64 `json:"combine_seconds"`
	GramGBs        float64 `json:"gram_gb_per_second"`    // M·N values read
	CombineGBs     float64 `json:"combine_gb_per_second"` // M·N values read, N written
	CopyGBs        float64 `json:"copy_gb_per_second"`    // of the same rows: read and written
	GramOfCopy     float64 `json:"gram_of_copy"`
	CombineOfCopy  float64 `json:"combine_of_copy"`
}

// GramResult is the table of Gram and combine.
type GramResult struct {
	Machine
	Rounds int        `json:"rounds"`
	Rates  []GramRate `json:"rates"`
}

// Gram measures the two kernels of gradient resolution against a copy of the
// same rows by the same device in the same seconds. A size that does not fit the
// device's memory is skipped and says so. An error is one of the device.
func Gram(dev *gpu.Device, objectives, sizes []int, rounds int) (*GramResult, error) {
	out := &GramResult{Machine: NewMachine(dev.Info()), Rounds: rounds}
	e := tensor.NewEngine(dev, tensor.Options{NoAutotune: true})
	for _, n := range sizes {
		for _, m := range objectives {
			if m < 1 || m > 64 || n < 1 {
				return nil, fmt.Errorf("bench: %d objectives of %d elements: 1 to 64 objectives and at least 1 element are possible", m, n)
			}
			r, err := gram(e, m, n, rounds)
			if err != nil {
				return nil, fmt.Errorf("bench: %d objectives of %d elements: %w", m, n, err)
			}
			out.Rates = append(out.Rates, r)
		}
	}
	return out, nil
}

// copyBytes bounds the copy that rates are compared with: beyond every cache.
const copyBytes = 256 << 20

func gram(e *tensor.Engine, m, n, rounds int) (GramRate, error) {
	r := GramRate{M: m, N: n}
	ld := (n + 63) &^ 63
	size := int64(m) * int64(ld) * 4
	copied := min(size, copyBytes)
	if r.Skipped = fits(e.Dev, size, copied, int64(ld)*4, 64<<20); r.Skipped != "" {
		return r, nil
	}
	rows := tensor.TaskGrads{Buf: e.Dev.NewBuffer(gpu.RoleRows, "bench rows", size), M: m, Stride: ld, R: 1, C: ld, LD: ld}
	target := e.Dev.NewBuffer(gpu.RoleScratch, "bench copy", copied)
	combined := e.New(gpu.RoleGradients, "bench combined", 1, ld)
	scratch := e.NewGramScratch(m, ld)
	defer func() {
		rows.Buf.Release()
		target.Release()
		combined.Buf.Release()
		scratch.Release()
	}()
	fill(e, rows.Buf)
	weights := make([]float32, m)
	for i := range weights {
		weights[i] = 1 / float32(i+1)
	}
	var pending []*tensor.PendingGram
	collect := func() error {
		for _, p := range pending {
			if _, err := p.Wait(); err != nil {
				return err
			}
		}
		pending = pending[:0]
		return nil
	}
	rivals := []*rival{
		{record: func() { pending = append(pending, e.Gram(rows, scratch)) }, collect: collect},
		{record: func() { e.Combine(combined, rows, weights, false) }},
		{record: func() { e.Dev.Copy(gpu.View{Buf: target, Size: copied}, gpu.View{Buf: rows.Buf, Size: copied}) }},
	}
	if err := race(e.Dev, rounds, rivals, false); err != nil {
		return r, err
	}
	r.GramSeconds, r.CombineSeconds = median(rivals[0].seconds), median(rivals[1].seconds)
	r.GramGBs = float64(size) / r.GramSeconds / 1e9
	r.CombineGBs = float64(size+int64(ld)*4) / r.CombineSeconds / 1e9
	r.CopyGBs = 2 * float64(copied) / median(rivals[2].seconds) / 1e9
	r.GramOfCopy, r.CombineOfCopy = r.GramGBs/r.CopyGBs, r.CombineGBs/r.CopyGBs
	return r, nil
}

// fill writes every byte of b: memory never written may not exist yet, and be
// read from a single page of zeros.
func fill(e *tensor.Engine, b *gpu.Buffer) {
	const chunk = 1 << 20 // elements
	src := e.New(gpu.RoleScratch, "bench pattern", 1, chunk)
	defer src.Buf.Release()
	e.Upload(src, pattern(chunk))
	for at := int64(0); at < b.Size(); at += chunk * 4 {
		n := min(chunk*4, b.Size()-at)
		e.Dev.Copy(gpu.View{Buf: b, Offset: at, Size: n}, gpu.View{Buf: src.Buf, Size: n})
	}
}
