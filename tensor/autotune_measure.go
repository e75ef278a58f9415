package tensor

import (
	"fmt"
	"math"
	"slices"
	"time"

	"concord/gpu"
)

// Bounds of one measurement: it may take memory only from the part that is free, and
// about 20 ms for each candidate after its compilation.
const (
	tuneBytes    = 24 << 20             // of the operands and the split sum, at most
	tuneShare    = 40                   // nor more than a 40th of the memory in use, so that a plan without them holds
	tuneLeast    = 256 << 10            // but this in any case
	tunePiece    = 256 << 10            // staged at a time, or one row
	tuneFlopsCPU = 1 << 27              // per product, about 10 ms at 13 GFLOP/s
	tuneFlopsGPU = 1 << 33              // per product, about 4 ms at 2 TFLOP/s
	tuneRounds   = 5                    // timings per candidate, interleaved
	tuneBatch    = 2 * time.Millisecond // shortest time worth measuring
	tuneTooSlow  = 2.5                  // times the best: not measured again
	tuneGain     = 0.9                  // of the table's time, to be chosen over it: noise must not decide
	tuneNMSE     = 1e-9                 // by which candidates may differ: f32 in another order
)

// candidates are the variants worth measuring for p, the table's choice first.
func (t *tuner) candidates(p product) []variant {
	names := []string{t.table(p).name, "tiled-64", "tiled-32", "direct-8x2"}
	if t.e.cpu {
		names = []string{t.table(p).name, "direct-16x4", "direct-8x2", "tiled-64"}
	}
	if p.m < 16 {
		names = append(names, "direct-4x1", "direct-1x1")
	}
	var out []variant
	add := func(v variant) {
		if !slices.ContainsFunc(out, func(o variant) bool { return o.name == v.name }) {
			out = append(out, v)
		}
	}
	for _, name := range names {
		v := mustVariant(name, p.op)
		add(v)
		if s := t.slices(v, p); v.slices == 1 && s > 1 {
			add(mustVariant(fmt.Sprintf("%s-k%d", v.name, s), p.op))
		}
	}
	return out
}

// trial is a product on scratch buffers, and the tensors to release after it.
type trial struct {
	p       product
	cut     int64 // see measure
	buffers []*gpu.Buffer
}

// measure times the candidates on scratch operands of p's shape, cut down when
// it is large: cut is the memory they had, where little memory in use was the reason, else 0.
// ok is false, and the choice is the table's, when the memory
// budget has no room for them or the device failed. A candidate whose result
// differs from the first one's is a bug of the driver, and is not chosen.
func (t *tuner) measure(p product) (best variant, cut int64, ok bool) {
	best = t.table(p)
	x, ok := t.newTrial(p)
	if !ok {
		return best, 0, false
	}
	defer func() {
		x.release()
		t.dropWorkspace() // the choice may need less, or none
	}()
	var live []timing
	var want []float32
	for _, v := range t.candidates(p) {
		got, err := t.try(x, v) // compiles
		if err != nil {
			return best, 0, false
		}
		if want == nil {
			want = got
		} else if differ(got, want) {
			continue
		}
		d := t.time(x, v, 1)
		live = append(live, timing{v, max(1, min(64, int(tuneBatch.Seconds()/max(d, 1e-6)))), d})
	}
	fastest := t.race(x, live)
	for _, l := range live {
		if l.d == fastest && fastest < tuneGain*live[0].d {
			best = l.v
		}
	}
	return best, x.cut, t.e.Dev.Err() == nil
}

// timing is a candidate's best time so far.
type timing struct {
	v    variant
	reps int     // products per measurement
	d    float64 // seconds per product
}

// race measures the candidates in turns and returns the smallest time.
func (t *tuner) race(x trial, live []timing) float64 {
	fastest := math.Inf(1)
	for _, l := range live {
		fastest = min(fastest, l.d)
	}
	for round := range tuneRounds {
		for i := range live {
			if l := &live[i]; round == 0 || l.d < fastest*tuneTooSlow {
				// The smallest: other load on the machine only adds time.
				l.d = min(l.d, t.time(x, l.v, l.reps))
			}
		}
		for _, l := range live {
			fastest = min(fastest, l.d)
		}
	}
	return fastest
}

// time runs the product reps times and returns seconds per product.
func (t *tuner) time(x trial, v variant, reps int) float64 {
	if t.e.Dev.Sync() != nil {
		return math.Inf(1)
	}
	start := time.Now()
	for range reps {
		t.e.runVariant(x.p, v)
	}
	if t.e.Dev.Sync() != nil {
		return math.Inf(1)
	}
	return time.Since(start).Seconds() / float64(reps)
}

// try returns v's result.
func (t *tuner) try(x trial, v variant) ([]float32, error) {
	t.e.Dev.Zero(x.p.out)
	t.e.runVariant(x.p, v)
	var out []float32
	for at := int64(0); at < x.p.out.Size; at += tunePiece {
		n := min(tunePiece, x.p.out.Size-at)
		b, err := t.e.Dev.Read(gpu.View{Buf: x.p.out.Buf, Offset: x.p.out.Offset + at, Size: n}).Wait()
		if err != nil {
			return nil, err
		}
		out = append(out, Unpack(b, 1, int(F32.Elements(n)), int(F32.Elements(n)))...)
	}
	return out, nil
}

func differ(got, want []float32) bool {
	var e, n float64
	for i := range want {
		d := float64(got[i]) - float64(want[i])
		e += d * d
		n += float64(want[i]) * float64(want[i])
	}
	return !(e <= tuneNMSE*n) // also when NaN
}

// trialRoom is the memory that a trial may take.
func (t *tuner) trialRoom() int64 {
	return min(tuneBytes, max(tuneLeast, t.e.Dev.Memory().Current/tuneShare))
}

// trialShape is p's shape, its longest sides halved until the product is short
// enough to measure and takes at most room bytes. A sum that candidates split stays long enough for all slices,
// while another side is left to cut.
func (t *tuner) trialShape(p product, room int64) (m, n, k int) {
	flops := tuneFlopsGPU
	if t.e.cpu {
		flops = tuneFlopsCPU
	}
	m, n, k = p.m, p.n, p.kEnd-p.kBegin
	candidates, shortest := t.candidates(p), 0
	for _, v := range candidates {
		if v.slices > 1 {
			shortest = max(shortest, 2*blockUnit*v.slices)
		}
	}
	for 2*m*n*k > flops || trialBytes(p, candidates, m, n, k) > room && max(m, n, k) > 1 {
		longest := max(m, n, k) // is cut: it changes the picture least
		if k < shortest && max(m, n) > blockUnit {
			longest = max(m, n)
		}
		switch longest {
		case m:
			m = (m + 1) / 2
		case n:
			n = (n + 1) / 2
		default:
			k = (k + 1) / 2
		}
	}
	return m, n, k
}

// trialBytes is the memory of a trial of p with this shape.
func trialBytes(p product, candidates []variant, m, n, k int) int64 {
	operands := f32Bytes(int64(m)*int64(k)+int64(m)*int64(n)*int64(p.objectives)) + p.bType.Bytes(int64(n)*int64(k))
	most := int64(0)
	for _, v := range candidates {
		q := product{op: p.op, m: m, n: n, kEnd: k, ldc: F32.LD(n)}
		most = max(most, v.workspace(q, v.split(q, math.MaxInt64)))
	}
	return operands + most
}

// newTrial allocates operands for p's shape class, filled with a fixed pattern.
func (t *tuner) newTrial(p product) (trial, bool) {
	room := t.trialRoom()
	m, n, k := t.trialShape(p, room)
	size := trialBytes(p, t.candidates(p), m, n, k)
	if mem := t.e.Dev.Memory(); k == 0 || mem.Budget-mem.Current < 2*size {
		return trial{}, false // padding and staging need room too
	}
	x := trial{p: product{op: p.op, m: m, n: n, kEnd: k, bType: p.bType, objectives: p.objectives}}
	if fm, fn, fk := t.trialShape(p, tuneBytes); fm != m || fn != n || fk != k {
		x.cut = room
	}
	ar, ac, br, bc := m, k, k, n
	switch p.op {
	case "NT":
		br, bc = n, k
	case "TN", "SEG":
		ar, ac = k, m
	}
	a, b := t.scratch(&x, F32, ar, ac), t.scratch(&x, p.bType, br, bc)
	x.p.stride = m * F32.LD(n)
	out := t.e.New(gpu.RoleScratch, "autotune", p.objectives, x.p.stride)
	x.buffers = append(x.buffers, out.Buf)
	x.p.a, x.p.b, x.p.out = a.View(), b.RawView(), out.View()
	x.p.lda, x.p.ldb, x.p.ldc = a.LD, b.LD, F32.LD(n)
	if p.op == "SEG" {
		starts := make([]int, p.objectives+1)
		for i := range starts {
			starts[i] = i * k / p.objectives
		}
		s := t.e.NewSegments(gpu.RoleScratch, starts)
		x.p.segments = s.Dev.View()
		x.buffers = append(x.buffers, s.Dev.Buf)
	}
	return x, t.e.Dev.Err() == nil
}

func (t *tuner) scratch(x *trial, d DType, r, c int) Tensor {
	v := t.e.NewTyped(gpu.RoleScratch, "autotune", d, r, c)
	x.buffers = append(x.buffers, v.Buf)
	if d.OfFile() { // only a file's encoder writes these; zeros decode in the same time
		return v
	}
	step := max(1, int(tunePiece/f32Bytes(int64(v.LD))))
	data := make([]float32, min(r, step)*c)
	for lo := 0; lo < r; lo += step {
		hi := min(lo+step, r)
		for i := range data {
			data[i] = float32(uint32(lo*c+i)*2654435761>>16)/(1<<15) - 1
		}
		t.e.Upload(v.rows(lo, hi), data[:(hi-lo)*c])
		t.e.Dev.Sync() // the staging of one piece serves the next
	}
	return v
}

func (x trial) release() {
	for _, b := range x.buffers {
		b.Release()
	}
}
