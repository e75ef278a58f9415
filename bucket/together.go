package bucket

import (
	"encoding/json"
	"fmt"

	"concord/bucket/exchange"
	"concord/tensor"
)

// A group in several slices is resolved by their owners together. Each computes the Gram of its
// slice's rows; the owner of the first slice, which leads the group, adds the Grams up in the order of
// the slices and solves; each combines its slice by the solution. The rows stay in host memory
// meanwhile.

// sharedSolution is the leader's message to the owners of the other slices.
type sharedSolution struct {
	Weights []float64 `json:"weights"` // M, rounded to float32
}

// mostWeight is the largest weight of a solution: with more, gradients would not be numbers.
const mostWeight = 1e12

// CheckSolution refuses a leader's message that cannot be: of so many objectives.
func CheckSolution(b []byte, objectives int) error {
	var s sharedSolution
	if err := json.Unmarshal(b, &s); err != nil {
		return fmt.Errorf("the leader's solution: %w", err)
	}
	if len(s.Weights) != objectives {
		return fmt.Errorf("the leader's solution: %d weights for %d objectives", len(s.Weights), objectives)
	}
	for _, w := range s.Weights {
		if w > mostWeight || w < -mostWeight {
			return fmt.Errorf("the leader's solution: a weight of %g", w)
		}
	}
	return nil
}

// startStatic begins a slice whose group's weights are static: the leader tells them, and no Gram
// is needed.
func (f *owners) startStatic(e exchange.Event) error {
	i := f.r.shared.slices[e.Slice].Group
	for m, w := range f.r.groups[i].static {
		if !finite(w) { // the others would not take it
			return fmt.Errorf("the static weight of objective %d is %v", m, w)
		}
	}
	if f.r.shared.leads(e.Slice) {
		f.r.reports[i] = f.r.staticReport(i)
		if err := f.tellSolution(e, f.r.groups[i].static); err != nil {
			return err
		}
	}
	f.kept[e.Slice] = e
	f.x.Gram(e, nil)
	return nil
}

// startGram starts the Gram of a slice's rows in the arena.
func (f *owners) startGram(s Slice) *tensor.GramSum {
	r := f.r
	if !r.shared.sliced(s.Group) {
		return r.startGram(s.Group)
	}
	g, k := r.store.Engine.NewGramSum(r.rows(), r.partial), 0
	for x := range r.store.Layout.partsOf(s) {
		if x.n > 0 {
			rows := f.partRows(x, k, 0, x.n)
			if r.opt.Metric == nil {
				g.Add(rows, *r.gram)
			} else {
				v := r.store.Flat(Second, x.Bucket)
				v.Offset, v.C, v.LD = v.Offset+tensor.F32.Bytes(int64(x.Offset+x.lo)), x.n, x.n
				g.AddAdam(rows, v, r.opt.Metric(), *r.gram)
			}
		}
		k++
	}
	g.Start()
	return g
}

// partRows are the values [from, to) of the rows of x, the k-th part of its slice, as vectors.
func (f *owners) partRows(x slicePart, k, from, to int) tensor.TaskGrads {
	n := x.hi - x.lo
	return tensor.TaskGrads{Buf: f.r.arenaOf(k, n), Offset: tensor.F32.Bytes(int64(from)), M: f.r.rows(), Stride: n, R: 1, C: to - from,
		LD: to - from}
}

// tellGram waits for a slice's Gram and tells the group's leader.
func (f *owners) tellGram(e exchange.Event) error {
	sum, err := f.r.gramOf(f.r.shared.slices[e.Slice].Group)
	if err != nil {
		return err
	}
	n := f.r.rows()
	var out []float64
	for i := range n {
		out = append(out, sum[i*n:i*n+i+1]...)
	}
	f.kept[e.Slice] = e
	f.x.Gram(e, out)
	return nil
}

// solve solves a group that this machine leads, of whose slices e has the Grams.
func (f *owners) solve(e exchange.Event) error {
	r, n := f.r, f.r.rows()
	i, sum := r.shared.slices[e.Slice].Group, make([]float64, n*n)
	for _, g := range e.Grams {
		k := 0
		for row := range n {
			for col := range row + 1 {
				sum[row*n+col] += g[k]
				k++
			}
		}
	}
	for row := range n {
		for col := range row {
			sum[col*n+row] = sum[row*n+col]
		}
	}
	s, err := r.solutionOf(r.problem(i, sum), nil)
	if err != nil {
		return err
	}
	if err := r.resolvable(i, f.kept[e.Slice].Tokens); err != nil {
		return err
	}
	if s.Weights == nil {
		return fmt.Errorf("a group that is resolved element by element is in %d slices", len(e.Grams))
	}
	return f.tellSolution(e, s.Weights)
}

// tellSolution tells the other owners weights that they take.
func (f *owners) tellSolution(e exchange.Event, weights []float64) error {
	b, err := json.Marshal(sharedSolution{weights})
	if err == nil {
		err = CheckSolution(b, f.r.opt.Objectives)
	}
	if err == nil {
		f.x.Solved(e, b)
	}
	return err
}

// combine makes the gradient of a slice of this machine by its group's solution, and tells
// everyone.
func (f *owners) combine(e exchange.Event) error {
	r, of := f.r, f.kept[e.Slice]
	if of.Rows == nil || of.Epoch != e.Epoch {
		return nil // the group is begun anew
	}
	var s sharedSolution
	if err := json.Unmarshal(e.Solution, &s); err != nil {
		return fmt.Errorf("the leader's solution: %w", err)
	}
	if len(s.Weights) != r.opt.Objectives {
		return fmt.Errorf("the leader's solution: %d weights for %d objectives", len(s.Weights), r.opt.Objectives)
	}
	delete(f.kept, e.Slice)
	f.upload(of)
	gradient, err := f.combineSlice(r.shared.slices[e.Slice], r.rowWeights(s.Weights))
	if err != nil {
		return err
	}
	return r.announce(f.x, e, gradient, func(norm2 float64) ([]byte, error) {
		if r.shared.leads(e.Slice) {
			return r.exportGroup(r.shared.slices[e.Slice].Group, norm2)
		}
		return json.Marshal(sharedGroup{Norm2: number(norm2)})
	})
}

// combineSlice combines a slice from its rows in the arena.
func (f *owners) combineSlice(s Slice, w []float32) ([]float32, error) {
	r, k := f.r, 0
	var reads []rowRead
	r.store.Engine.Dev.Span("combine")
	for x := range r.store.Layout.partsOf(s) {
		for from := 0; from < x.n; {
			to := f.target(x, from)
			r.store.Engine.Combine(to, f.partRows(x, k, from, from+to.C), w, false)
			reads = append(reads, r.readParts(to.View(), x.at+from)...)
			from += to.C
		}
		k++
	}
	r.store.Engine.Dev.Span("backward")
	out, err := collect(reads, 1, s.Size())
	if err != nil {
		return nil, err
	}
	return out[0], nil
}

// target is where the gradient of x goes from its value from on: in the store, or where none is
// kept so many values at a time as are read to the host.
func (f *owners) target(x slicePart, from int) tensor.Tensor {
	r, n := f.r, x.n-from
	if r.applies() {
		n = min(n, r.applied.scratch.C/align*align)
		return tensor.Tensor{Buf: r.applied.scratch.Buf, R: 1, C: n, LD: n}
	}
	t := r.store.Flat(Gradient, x.Bucket)
	t.Offset, t.C, t.LD = t.Offset+tensor.F32.Bytes(int64(x.Offset+x.lo+from)), n, n
	return t
}
