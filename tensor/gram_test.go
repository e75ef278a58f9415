package tensor

import (
	"fmt"
	"math"
	"slices"
	"strconv"
	"testing"
	"time"

	"concord/gpu"
	"concord/internal/optest"
	"concord/internal/ref"
)

// testRows uploads m random rows of n values, stride elements apart, and NaN
// into the gaps between them.
func testRows(e *Engine, m, n int, seed uint64) (TaskGrads, []float32) {
	ld := (n + 3) &^ 3
	stride := alignUp(ld, 64)
	host := make([]float32, m*stride)
	for i := range host {
		if i%stride >= ld {
			host[i] = float32(math.NaN())
		}
	}
	for i := range m {
		copy(host[i*stride:], optest.Random(n, seed+uint64(i)))
	}
	return TaskGrads{Buf: upload(e, 1, m*stride, host).Buf, M: m, Stride: stride, R: 1, C: n, LD: ld}, host
}

// gramError is the largest error of an entry relative to √(Gᵢᵢ Gⱼⱼ).
func gramError(got, want []float64, m int) float64 {
	var worst float64
	for i := range m {
		for j := range m {
			d := math.Abs(got[i*m+j]-want[i*m+j]) / math.Sqrt(want[i*m+i]*want[j*m+j])
			if math.IsNaN(d) {
				return math.Inf(1)
			}
			worst = max(worst, d)
		}
	}
	return worst
}

func TestGram(t *testing.T) {
	e := testEngine(t)
	shapes := [][2]int{}
	for _, m := range []int{1, 2, 7, 8, 9, 16, 17, 32, 33, 64} {
		for _, n := range []int{1, 3, 255, 256, 257, 65537} {
			if m*n < 1<<20 {
				shapes = append(shapes, [2]int{m, n})
			}
		}
	}
	shapes = append(shapes, [2]int{8, 300007}) // enough to fold on the device
	for _, s := range shapes {
		m, n := s[0], s[1]
		rows, host := testRows(e, m, n, 1)
		scratch := e.NewGramScratch(m, n)
		first, second := e.Gram(rows, scratch), e.Gram(rows, scratch)
		got, err := first.Wait()
		if err != nil {
			t.Fatal(err)
		}
		if d := gramError(got, ref.Gram(host, m, rows.Stride, n), m); d > 1e-6 {
			t.Errorf("M=%d n=%d: relative error %.3g", m, n, d)
		}
		again, err := second.Wait()
		if err != nil {
			t.Fatal(err)
		}
		for i := range got {
			if got[i] != again[i] {
				t.Fatalf("M=%d n=%d: entry %d is %v, then %v", m, n, i, got[i], again[i])
			}
		}
		rows.Buf.Release()
		scratch.Release()
	}
}

// TestGramScratchLengths uses one scratch, made for the longest rows, for shorter
// ones: with the strips of a GPU they have up to twice as many partial sums.
func TestGramScratchLengths(t *testing.T) {
	dev := testEngine(t).Dev
	e := NewEngine(dev, Options{NoAutotune: true, TreatAsGPU: true})
	const longest = 4_194_304
	rows, host := testRows(e, 1, longest, 1)
	scratch := e.NewGramScratch(1, longest)
	for _, n := range []int{longest, 3_212_288, 2_097_152, 2_097_148, 1_048_572, 4096, 4} {
		part := rows
		part.C, part.LD = n, n
		got, err := e.Gram(part, scratch).Wait()
		if err != nil {
			t.Fatal(err)
		}
		if d := gramError(got, ref.Gram(host, 1, longest, n), 1); d > 1e-6 {
			t.Errorf("n=%d: relative error %.3g", n, d)
		}
	}
	for n := 4; n < 20_000_000; n = n*9/8 + 3 {
		if got, most := slotsOf(n, e.stripOf(n)), e.mostSlots(gramPlan{m: 1, h: gramBlock}, n+n/9); got > most {
			t.Errorf("%d values need %d slots, those of up to %d at most %d", n, got, n+n/9, most)
		}
	}
}

// TestGramScratchBlocks uses one scratch, made for rows of which a binding spans few,
// for shorter ones, of which it spans more: their block pairs have more sums.
func TestGramScratchBlocks(t *testing.T) {
	const m, longest = 17, 131_072
	dev := testEngine(t).Dev
	for _, gpu := range []bool{false, true} {
		e := NewEngine(dev, Options{NoAutotune: true, TreatAsGPU: gpu})
		e.tune.limit = 5 << 19
		rows, host := testRows(e, m, longest, 1)
		scratch := e.NewGramScratch(m, longest)
		heights := map[int]bool{}
		for _, n := range []int{longest, 65_536, 36_864, 16_384, 64} {
			part := rows
			part.Stride, part.C, part.LD = n, n, n
			heights[e.gramPlan(part).h] = true
			got, err := e.Gram(part, scratch).Wait()
			if err != nil {
				t.Fatal(err)
			}
			if d := gramError(got, ref.Gram(host, m, n, n), m); d > 1e-6 {
				t.Errorf("n=%d: relative error %.3g", n, d)
			}
		}
		if len(heights) < 2 {
			t.Errorf("all by blocks of %v rows: nothing is tested", heights)
		}
		rows.Buf.Release()
		scratch.Release()
	}
}

// A scratch that is too small panics before anything is recorded.
func TestGramScratchTooSmall(t *testing.T) {
	e := testEngine(t)
	rows, _ := testRows(e, 9, 100, 1)
	s := e.NewGramScratch(9, 100)
	defer func() {
		if recover() == nil {
			t.Error("no panic")
		}
	}()
	e.gram(rows, s, gramPlan{m: 9, h: 1}) // by smaller blocks there are more pairs
}

// TestGramFoldsGrid runs the kernel on more than 65,535 workgroups, which a
// short strip reaches with an affordable row.
func TestGramFoldsGrid(t *testing.T) {
	e := testEngine(t)
	const n = 64*4*65536 + 4
	x := e.New(gpu.RoleScratch, "row", 1, n)
	host := make([]float32, n)
	for i := range host {
		host[i] = float32(i%7) / 8
	}
	e.Upload(x, host)
	slots := 64 * ceilDiv(n/4, 64)
	part := e.New(gpu.RoleScratch, "partials", 1, slots)
	for kernel, params := range map[string]any{"gram": gramParams{n / 4, n / 4, uint32(slots)},
		"sum_squares": sumSquaresParams{n / 4, uint32(slots)}} {
		consts := map[string]string{"STRIP": "1"}
		if kernel == "gram" {
			consts["ROWS"] = "1"
		}
		e.Dev.Zero(part.View())
		binds := []gpu.View{x.View(), part.View()}
		if kernel == "gram" {
			binds = []gpu.View{x.View(), e.tune.placeholder(), part.View()}
		}
		e.run(call{kernel: kernel, params: params, consts: consts, binds: binds, groups: grid(slots / 64)})
		var sum float64
		for _, v := range download(t, e, part) {
			sum += float64(v)
		}
		if want := ref.SumSquares(host); math.Abs(sum-want) > 1e-6*want {
			t.Errorf("%s: %v, want %v", kernel, sum, want)
		}
	}
}

// TestGramGuards checks that the kernels write their partial sums and nothing else.
func TestGramGuards(t *testing.T) {
	e := testEngine(t)
	rows, _ := testRows(e, 8, 257, 3)
	slots := slotsOf(257, e.stripOf(257))
	part := guarded(e, 1, 36*slots)
	e.gramBlock(part.View(), rows, Tensor{}, gramPlan{m: 8, h: 8}, 0, 0, slots)
	checkGuards(t, e, part)
	part = guarded(e, 1, 64*slots)
	wide, _ := testRows(e, 11, 257, 3)
	e.gramBlock(part.View(), wide, Tensor{}, gramPlan{m: 11, h: 8}, 1, 0, slots)
	checkGuards(t, e, part)
	for i := range 2 { // a full block, and one against a short one
		p := gramPlan{m: 37, h: gramTile, tile: true}
		many, _ := testRows(e, 37, 257, 3)
		slots := e.slots(p, 257)
		part := guarded(e, 1, p.pairs(i, 0)*slots)
		e.gramBlock(part.View(), many, Tensor{}, p, i, 0, slots)
		checkGuards(t, e, part)
	}
	p := gramPlan{m: 19, h: gramBlock}
	total, _ := p.total()
	all, _ := testRows(e, 19, 257, 3)
	blocks := guarded(e, 1, total*slots)
	e.gramBatched(blocks.View(), all, Tensor{}, p, slots)
	checkGuards(t, e, blocks)
	out := guarded(e, 1, 64*16)
	e.gramFold(out.View(), part.View(), 64, slots, 16)
	checkGuards(t, e, out)
}

// TestGramBlocks checks that the size of the blocks, which follows the device's
// binding limit, does not matter.
func TestGramBlocks(t *testing.T) {
	e := testEngine(t)
	rows, host := testRows(e, 11, 1000, 5)
	want := ref.Gram(host, 11, rows.Stride, 1000)
	for _, p := range []gramPlan{{11, 1, false}, {11, 2, false}, {11, 4, false}, {11, 8, false}, {11, 1, true}, {11, 2, true},
		{11, 4, true}, {11, 8, true}, {11, 32, true}} {
		got, err := e.gram(rows, e.gramScratch(11, 1000, e.gramSizes(p, 1000)), p).Wait()
		if err != nil {
			t.Fatal(err)
		}
		if d := gramError(got, want, 11); d > 1e-6 {
			t.Errorf("plan %+v: relative error %.3g", p, d)
		}
	}
}

// TestGramBatched holds that all blocks in a few dispatches have the bits of block by block, with and without a
// short last one, and with weights.
func TestGramBatched(t *testing.T) {
	e := testEngine(t)
	root := upload(e, 1, 1000, optest.Random(1000, 7))
	for _, m := range []int{9, 16, 17, 24, 33, 40} {
		rows, _ := testRows(e, m, 1000, 5)
		p := e.gramPlan(rows)
		if e.cpu != p.batched(rows, e.slots(p, 1000), e.tune.limit) {
			t.Fatalf("M=%d: batched %v", m, !e.cpu)
		}
		for _, weights := range []Tensor{{}, root} {
			p := gramPlan{m: m, h: gramBlock}
			slots := slotsOf(1000, e.stripOf(1000))
			total, _ := p.total()
			one, all := e.New(gpu.RoleScratch, "by block", 1, total*slots), e.New(gpu.RoleScratch, "batched", 1, total*slots)
			e.gramBatched(all.View(), rows, weights, p, slots)
			at := 0
			for i := range p.blocks() {
				for j := range i + 1 {
					e.gramBlock(f32View(one, at*slots, p.pairs(i, j)*slots), rows, weights, p, i, j, slots)
					at += p.pairs(i, j)
				}
			}
			if !slices.Equal(download(t, e, one), download(t, e, all)) {
				t.Errorf("M=%d, weights %v: other bits", m, weights.Buf != nil)
			}
		}
	}
}

// TestGramNonFinite checks that NaN and Inf stay in their rows and columns.
func TestGramNonFinite(t *testing.T) {
	e := testEngine(t)
	for _, bad := range []float32{float32(math.NaN()), float32(math.Inf(1))} {
		const m, n = 10, 500
		rows, host := testRows(e, m, n, 9)
		host[3*rows.Stride+77] = bad
		rows.Buf = upload(e, 1, len(host), host).Buf
		got, err := e.Gram(rows, e.NewGramScratch(m, n)).Wait()
		if err != nil {
			t.Fatal(err)
		}
		want := ref.Gram(host, m, rows.Stride, n)
		for i := range m {
			for j := range m {
				finite := !math.IsNaN(got[i*m+j]) && !math.IsInf(got[i*m+j], 0)
				if finite != (i != 3 && j != 3) {
					t.Fatalf("%v in row 3: entry (%d,%d) is %v", bad, i, j, got[i*m+j])
				}
				if finite && math.Abs(got[i*m+j]-want[i*m+j]) > 1e-4 {
					t.Fatalf("%v in row 3: entry (%d,%d) is %v, want %v", bad, i, j, got[i*m+j], want[i*m+j])
				}
			}
		}
	}
}

// bandwidth is the best of some runs of f, which moves bytes, in bytes per second.
func bandwidth(b *testing.B, e *Engine, bytes int64, f func()) float64 {
	best := time.Duration(math.MaxInt64)
	const repeat = 8
	for range 6 {
		start := time.Now()
		for range repeat {
			f()
		}
		if err := e.Dev.Sync(); err != nil {
			b.Fatal(err)
		}
		best = min(best, time.Since(start))
	}
	return repeat * float64(bytes) / best.Seconds()
}

// benchmarkRows times f, which moves bytes, eight calls per drained submit. It
// reports the rate against that of a buffer copy (%copy) and of a kernel that
// copies vec4 by vec4 (%kernelcopy), bytes read and written, of the same size:
// a CPU rasterizer copies buffers with memcpy, which no kernel comes near.
func benchmarkRows(b *testing.B, e *Engine, bytes int64, f func()) {
	n := int(bytes/2/4) &^ 3
	src, dst := e.New(gpu.RoleScratch, "from", 1, n), e.New(gpu.RoleScratch, "to", 1, n)
	defer src.Buf.Release()
	defer dst.Buf.Release()
	copied := bandwidth(b, e, bytes, func() { e.Dev.Copy(dst.View(), src.View()) })
	row := TaskGrads{Buf: src.Buf, M: 1, Stride: n, R: 1, C: n, LD: n}
	kernel := bandwidth(b, e, bytes, func() { e.Combine(dst, row, []float32{1}, false) })
	f()
	if err := e.Dev.Sync(); err != nil {
		b.Fatal(err)
	}
	const repeat = 8
	for b.Loop() {
		for range repeat {
			f()
		}
		if err := e.Dev.Sync(); err != nil {
			b.Fatal(err)
		}
	}
	rate := repeat * float64(bytes) * float64(b.N) / b.Elapsed().Seconds()
	b.ReportMetric(rate/1e9, "GB/s")
	b.ReportMetric(100*rate/copied, "%copy")
	b.ReportMetric(100*rate/kernel, "%kernelcopy")
	b.ReportMetric(b.Elapsed().Seconds()*1e3/float64(b.N)/repeat, "ms/call")
}

func BenchmarkGram(b *testing.B) {
	e := testEngine(b)
	for _, s := range [][2]int{{8, 181_000}, {8, 1_000_000}, {8, 1 << 20}, {16, 16_384}, {32, 16_384}, {32, 44_032},
		{32, 181_000}, {64, 181_000}} {
		b.Run(fmt.Sprintf("M=%d,n=%d", s[0], s[1]), func(b *testing.B) {
			rows, _ := testRows(e, s[0], s[1], 1)
			scratch := e.NewGramScratch(s[0], s[1])
			defer rows.Buf.Release()
			defer scratch.Release()
			benchmarkRows(b, e, int64(s[0]*s[1])*4, func() { e.gramRecord(rows, scratch, e.gramPlan(rows), Tensor{}) })
		})
	}
}

func BenchmarkCombine(b *testing.B) {
	e := testEngine(b)
	for _, s := range [][2]int{{8, 181_000}, {8, 1_000_000}, {8, 1 << 20}, {32, 44_032}, {64, 181_000}} {
		b.Run("M="+strconv.Itoa(s[0])+",n="+strconv.Itoa(s[1]), func(b *testing.B) {
			rows, _ := testRows(e, s[0], s[1], 1)
			out := e.New(gpu.RoleScratch, "out", 1, s[1])
			defer rows.Buf.Release()
			defer out.Buf.Release()
			weights := optest.Random(s[0], 2)
			benchmarkRows(b, e, int64((s[0]+1)*s[1])*4, func() { e.Combine(out, rows, weights, false) })
		})
	}
}
