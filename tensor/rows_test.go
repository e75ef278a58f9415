package tensor

import (
	"encoding/binary"
	"fmt"
	"math"
	"slices"
	"testing"

	"concord/gpu"
	"concord/internal/optest"
)

// opTolerance is the NMSE that float32 sums of the tests' lengths stay under.
const opTolerance = 1e-10

// output is one result of an operation: an (R, C) matrix, what it must become,
// and what it holds before (nil = guard bits, which are NaN).
type output struct {
	r, c         int
	want, before []float32
}

// largeOutput is from how many values on an operation is run once only: what
// such cases test is the folding of the grid.
const largeOutput = 1 << 20

// checkOutputs runs op twice on fresh guarded tensors and checks the values, the
// guard words and that both runs gave the same bits.
func checkOutputs(t *testing.T, e *Engine, outs []output, op func(out []Tensor)) {
	t.Helper()
	var first [][]float32
	for run := range 2 {
		ts := make([]Tensor, len(outs))
		for i, o := range outs {
			ts[i] = guarded(e, o.r, o.c)
			if o.before != nil {
				e.Upload(ts[i], o.before)
			}
		}
		op(ts)
		for i, o := range outs {
			got := download(t, e, ts[i])
			if run == 0 {
				first = append(first, got)
				if err := optest.Compare(got, o.want, opTolerance); err != nil {
					t.Errorf("output %d: %v", i, err)
				}
				checkGuards(t, e, ts[i])
				checkPadding(t, e, ts[i])
			} else if at := optest.Bits(got, first[i]); at >= 0 {
				t.Errorf("output %d: a second run differs at index %d: %v, then %v", i, at, first[i][at], got[at])
			}
			ts[i].Buf.Release()
		}
		if outs[0].r*outs[0].c >= largeOutput {
			return
		}
	}
}

// checkPadding fails unless the columns C..LD-1 of x are zero.
func checkPadding(t *testing.T, e *Engine, x Tensor) {
	t.Helper()
	if x.C == x.LD {
		return
	}
	whole := x
	whole.C = x.LD
	for i, v := range download(t, e, whole) {
		if i%x.LD >= x.C && v != 0 {
			t.Errorf("padding column %d of row %d is %v", i%x.LD, i/x.LD, v)
			return
		}
	}
}

// guardedRows returns m matrices of (r, c) with before in them (nil = guard bits)
// and guard bits around and between them.
func guardedRows(e *Engine, m, r, c int, before []float32) TaskGrads {
	flat := guarded(e, 1, m*rowsStride(r, c))
	out := TaskGrads{Buf: flat.Buf, Offset: flat.Offset, M: m, Stride: rowsStride(r, c), R: r, C: c, LD: int(vec4s(c)) * 4}
	for i := 0; before != nil && i < m; i++ {
		e.Upload(out.Objective(i), before[i*r*c:(i+1)*r*c])
	}
	return out
}

// rowsStride leaves a gap of at least one element behind each matrix.
func rowsStride(r, c int) int { return (r*int(vec4s(c))*4/64 + 1) * 64 }

// checkRows is checkOutputs for per-objective rows.
func checkRows(t *testing.T, e *Engine, m, r, c int, want, before []float32, op func(out TaskGrads)) {
	t.Helper()
	var first []float32
	for run := range 2 {
		rows := guardedRows(e, m, r, c, before)
		op(rows)
		got := downloadRows(t, e, rows)
		if run == 0 {
			first = got
			if err := optest.Compare(got, want, opTolerance); err != nil {
				t.Error(err)
			}
			checkRowGuards(t, e, rows)
		} else if at := optest.Bits(got, first); at >= 0 {
			t.Errorf("a second run differs at index %d: %v, then %v", at, first[at], got[at])
		}
		rows.Buf.Release()
		if m*r*c >= largeOutput {
			return
		}
	}
}

func downloadRows(t *testing.T, e *Engine, r TaskGrads) []float32 {
	t.Helper()
	var out []float32
	for m := range r.M {
		out = append(out, download(t, e, r.Objective(m))...)
	}
	return out
}

// checkRowGuards fails when a word between or around the matrices was written.
func checkRowGuards(t *testing.T, e *Engine, r TaskGrads) {
	t.Helper()
	b, err := e.Dev.Read(gpu.View{Buf: r.Buf, Size: r.Buf.Size()}).Wait()
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; i < len(b); i += 4 {
		at := i/4 - int(r.Offset)/4
		inside := at >= 0 && at < r.M*r.Stride && at%r.Stride < r.R*r.LD
		if !inside && binary.LittleEndian.Uint32(b[i:]) != optest.GuardBits {
			t.Errorf("guard word at element %d of rows %+v was overwritten", at, r)
			return
		}
	}
}

// uploadU32 allocates and fills a (1, n) tensor of uint32.
func uploadU32(e *Engine, data []uint32) Tensor {
	x := e.New(gpu.RoleScratch, "input", 1, len(data))
	e.UploadU32(x, data)
	return x
}

// randomIDs is n ids below limit, skewed to small ones.
func randomIDs(n, limit int, seed uint64) []uint32 {
	out := make([]uint32, n)
	for i, v := range optest.Random(n, seed) {
		out[i] = uint32(math.Abs(float64(v)) * math.Abs(float64(v)) * float64(limit))
	}
	return out
}

func TestBindableRanges(t *testing.T) {
	e := testEngine(t)
	limit := int(e.Dev.Info().Limits.MaxStorageBufferBindingSize / 4)
	for _, c := range []struct {
		stride int
		want   [][2]int
	}{
		{64, [][2]int{{0, 5}}},
		{limit / 2 &^ 63, [][2]int{{0, 2}, {2, 4}, {4, 5}}},
		{limit, [][2]int{{0, 1}, {1, 2}, {2, 3}, {3, 4}, {4, 5}}},
	} {
		got := e.bindable(TaskGrads{M: 5, Stride: c.stride, R: 4, C: 16, LD: 16})
		if !slices.EqualFunc(got, c.want, func(a, b [2]int) bool { return a == b }) {
			t.Errorf("stride %d of a limit of %d elements: %v, want %v", c.stride, limit, got, c.want)
		}
	}
	if s := fmt.Sprint(TaskGrads{M: 5, Stride: 64}.slice(2, 4)); s != fmt.Sprint(TaskGrads{M: 2, Stride: 64, Offset: 512}) {
		t.Errorf("slice: %s", s)
	}
}
