package data

import (
	"fmt"
	"math"
	"reflect"
	"slices"
	"strings"
	"testing"
)

// lengths are pseudo-random example lengths from 1 to most.
func lengths(seed uint64, n, most int) []int {
	r := newRandom(seed, "lengths", 0)
	out := make([]int, n)
	for i := range out {
		out[i] = 1 + int(r.next()%uint64(most))
	}
	return out
}

// found lists the examples (by their token) in a language's rows of a batch.
func found(b *Batch, lang int) []int {
	var out []int
	for i := b.Starts[lang]; i < b.Starts[lang+1]; {
		if b.Labels[i] == Ignore {
			i++
			continue
		}
		out = append(out, int(b.IDs[i]))
		i = int(b.DocEnd[i])
	}
	return out
}

func newSampler(t testing.TB, o SamplerOptions, sets ...*Set) *Sampler {
	t.Helper()
	s, err := NewSampler(sets, o)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestBatchIsAPureFunctionOfStep(t *testing.T) {
	sets := []*Set{makeSet("a", lengths(1, 50, 20)...), makeSet("b", lengths(2, 90, 20)...)}
	o := SamplerOptions{Rows: 5, SeqLen: 32, Seed: 7}
	s := newSampler(t, o, sets...)
	var want []*Batch
	for step := range 60 {
		want = append(want, s.Batch(step))
	}
	for _, step := range []int{59, 0, 31, 30, 17} {
		if got := newSampler(t, o, sets...).Batch(step); !reflect.DeepEqual(got, want[step]) {
			t.Errorf("step %d from scratch differs", step)
		}
		if got := s.Batch(step); !reflect.DeepEqual(got, want[step]) {
			t.Errorf("step %d again differs", step)
		}
	}
	o.Seed++
	if reflect.DeepEqual(newSampler(t, o, sets...).Batch(0), want[0]) {
		t.Error("another seed gives the same batch")
	}
}

func TestEachExampleOncePerEpoch(t *testing.T) {
	sets := []*Set{makeSet("a", lengths(3, 41, 32)...), makeSet("b", lengths(4, 97, 9)...)}
	s := newSampler(t, SamplerOptions{Rows: 4, SeqLen: 32, Temperature: 3, Seed: 1}, sets...)
	seen := make([][]int, 2)
	var second []int
	for step := range 80 {
		b := s.Batch(step)
		for m := range seen {
			seen[m] = append(seen[m], found(b, m)...)
		}
	}
	for m, set := range sets {
		n := set.Train.Len()
		if len(seen[m]) < 2*n {
			t.Fatalf("%s: %d examples in 80 steps, want two epochs of %d", set.Lang, len(seen[m]), n)
		}
		for epoch := range 2 {
			part := slices.Sorted(slices.Values(seen[m][epoch*n : (epoch+1)*n]))
			for i, x := range part {
				if i != x {
					t.Fatalf("%s: epoch %d does not hold each example once: %v", set.Lang, epoch, part)
				}
			}
		}
		second = seen[m][n : 2*n]
		if slices.Equal(seen[m][:n], second) {
			t.Errorf("%s: both epochs have the same order", set.Lang)
		}
	}
}

func TestTemperature(t *testing.T) {
	sets := []*Set{makeSet("a", lengths(5, 1600, 16)...), makeSet("b", lengths(6, 400, 16)...), makeSet("c", lengths(7, 100, 16)...)}
	tokens := make([]float64, len(sets))
	for m, set := range sets {
		for _, e := range list(t, set.Train) {
			tokens[m] += float64(e.Positions())
		}
	}
	for _, temperature := range []float64{0, 1, 2, 5, math.Inf(1)} {
		t.Run(fmt.Sprint(temperature), func(t *testing.T) {
			s := newSampler(t, SamplerOptions{Rows: 8, SeqLen: 64, Temperature: temperature}, sets...)
			exponent := 1.0
			if temperature != 0 {
				exponent = 1 / temperature
			}
			sum, want := 0.0, make([]float64, len(sets))
			for m := range sets {
				want[m] = math.Pow(tokens[m], exponent)
				sum += want[m]
			}
			got, all := make([]float64, len(sets)), 0.0
			for step := range 600 {
				for m, n := range s.Batch(step).Tokens {
					got[m] += float64(n)
					all += float64(n)
				}
			}
			for m := range sets {
				if math.Abs(got[m]/all-want[m]/sum) > 0.005 || math.Abs(s.Shares()[m]-want[m]/sum) > 1e-12 {
					t.Errorf("%s: %.4f of the tokens (promised %.4f), want %.4f", sets[m].Lang, got[m]/all, s.Shares()[m], want[m]/sum)
				}
			}
		})
	}
}

func TestEqualSharesGiveEachLanguageItsRowsInEveryStep(t *testing.T) {
	var sets []*Set
	for m := range 8 {
		sets = append(sets, makeSet(fmt.Sprint(m), lengths(uint64(m), 64, 1)...))
	}
	s := newSampler(t, SamplerOptions{Rows: 16, SeqLen: 8, Temperature: math.Inf(1)}, sets...)
	for step := range 50 {
		b := s.Batch(step)
		if !slices.Equal(b.Lang, []int{0, 0, 1, 1, 2, 2, 3, 3, 4, 4, 5, 5, 6, 6, 7, 7}) {
			t.Fatalf("step %d: languages of the rows %v", step, b.Lang)
		}
	}
}

func TestBatchLayout(t *testing.T) {
	a := Example{IDs: []uint32{256, 1, 2, 3, 257}, Mask: []bool{false, false, false, true, true}, Bytes: 1}
	b := Example{IDs: []uint32{256, 7, 257}, Mask: []bool{false, true, true}, Bytes: 1}
	s := newSampler(t, SamplerOptions{Rows: 2, SeqLen: 7},
		&Set{Lang: "x", Train: List{a, b}}, &Set{Lang: "unseen"}, &Set{Lang: "y", Train: List{b}})
	if got := s.Languages(); !slices.Equal(got, []string{"x", "y"}) {
		t.Fatalf("languages %v", got)
	}
	const no = Ignore
	want := &Batch{
		Rows: 2, SeqLen: 7,
		IDs:      []uint32{256, 1, 2, 3, 256, 7, 0, 256, 7, 0, 0, 0, 0, 0},
		Labels:   []uint32{no, no, 3, 257, 7, 257, no, 7, 257, no, no, no, no, no},
		DocStart: []uint32{0, 0, 0, 0, 4, 4, 6, 7, 7, 9, 10, 11, 12, 13},
		DocEnd:   []uint32{4, 4, 4, 4, 6, 6, 7, 9, 9, 10, 11, 12, 13, 14},
		Pos:      []uint32{0, 1, 2, 3, 0, 1, 0, 0, 1, 0, 0, 0, 0, 0},
		Lang:     []int{0, 1}, Number: []uint64{6, 7}, Starts: []int{0, 7, 14},
		Supervised: []int{4, 2}, Tokens: []int{6, 2}, Bytes: []int{2, 1}, Docs: []Doc{{0, -1, 0, 1}, {0, -1, 4, 1}, {1, -1, 7, 1}},
	}
	if got := s.Batch(3); !reflect.DeepEqual(got, want) {
		t.Errorf("batch %+v\nwant  %+v", got, want)
	}
	if got := s.Fill(); got[0] != 6./7 || got[1] != 2./7 {
		t.Errorf("fill %v", got)
	}
	if got := s.Epochs(3); got[0] != 3 || got[1] != 3 {
		t.Errorf("epochs %v", got)
	}
	if got := s.StepsPerEpoch(); got != 1 {
		t.Errorf("steps per epoch %v", got)
	}
}

func TestEvalBatches(t *testing.T) {
	langs := []Examples{makeSet("a", lengths(8, 30, 16)...).Train, nil, makeSet("c", lengths(9, 11, 16)...).Train}
	e, err := NewEvaluation(langs, 4, 16)
	if err != nil {
		t.Fatal(err)
	}
	seen := make([][]int, len(langs))
	bytes, supervised := make([]int, len(langs)), make([]int, len(langs))
	for i := range e.Len() {
		b := e.Batch(i)
		if b.Rows != 4 || len(b.IDs) != 64 || b.Starts[len(langs)] != 64 || !slices.IsSorted(b.Lang) {
			t.Fatalf("batch of %d rows, %d tokens, segments %v", b.Rows, len(b.IDs), b.Starts)
		}
		for m := range langs {
			seen[m] = append(seen[m], found(b, m)...)
			bytes[m] += b.Bytes[m]
			supervised[m] += b.Supervised[m]
		}
	}
	for m, examples := range langs {
		want := 0
		for i, e := range list(t, examples) {
			want += e.Bytes
			if slices.Sort(seen[m]); seen[m][i] != i {
				t.Fatalf("language %d: examples %v", m, seen[m])
			}
		}
		if len(seen[m]) != size(examples) || bytes[m] != want || supervised[m] != want {
			t.Errorf("language %d: %d examples, %d bytes, %d targets; want %d, %d, %d", m, len(seen[m]), bytes[m], supervised[m],
				size(examples), want, want)
		}
	}
	if got := BitsPerByte(math.Ln2*30, 10); math.Abs(got-3) > 1e-12 {
		t.Errorf("bits per byte %v, want 3", got)
	}
	if !math.IsNaN(BitsPerByte(1, 0)) {
		t.Error("bits per byte of no bytes is a number")
	}
}

func TestPackingWastesLittle(t *testing.T) {
	sizes := lengths(10, 2000, 40)
	p := pack(makeSet("a", sizes...).Train, 128)
	used := make([]int, p.rows())
	for b := range used {
		for _, s := range p.row(b) {
			used[b] += sizes[p.order[s]]
		}
		if used[b] > 128 {
			t.Fatalf("row %d holds %d tokens", b, used[b])
		}
	}
	if fill := float64(p.tokens) / float64(128*p.rows()); fill < 0.995 {
		t.Errorf("rows are %.3f full", fill)
	}
}

func TestApportion(t *testing.T) {
	for _, c := range []struct {
		weight []float64
		total  int
		want   []int
	}{
		{[]float64{1, 1}, 10, []int{5, 5}},
		{[]float64{1, 1, 1}, 10, []int{4, 3, 3}},
		{[]float64{1e-9, 1}, 10, []int{1, 9}},
		{[]float64{1e-9, 1e-9, 1e-9, 1}, 5, []int{1, 1, 1, 2}},
		{[]float64{3}, 7, []int{7}},
	} {
		if got := apportion(c.weight, c.total); !slices.Equal(got, c.want) {
			t.Errorf("apportion(%v, %d) = %v, want %v", c.weight, c.total, got, c.want)
		}
	}
}

func TestSamplerErrors(t *testing.T) {
	set := makeSet("a", 5, 9)
	for _, c := range []struct {
		name, says string
		sets       []*Set
		opt        SamplerOptions
	}{
		{"no rows", "1 or more", []*Set{set}, SamplerOptions{SeqLen: 9}},
		{"negative temperature", "positive", []*Set{set}, SamplerOptions{Rows: 1, SeqLen: 9, Temperature: -1}},
		{"NaN temperature", "positive", []*Set{set}, SamplerOptions{Rows: 1, SeqLen: 9, Temperature: math.NaN()}},
		{"too long", "max_len", []*Set{set}, SamplerOptions{Rows: 1, SeqLen: 8}},
		{"nothing", "no language", []*Set{{Lang: "u"}}, SamplerOptions{Rows: 1, SeqLen: 8}},
	} {
		t.Run(c.name, func(t *testing.T) {
			if _, err := NewSampler(c.sets, c.opt); err == nil || !strings.Contains(err.Error(), c.says) {
				t.Errorf("error %v, want one that says %q", err, c.says)
			}
		})
	}
	if _, err := NewEvaluation([]Examples{set.Train}, 1, 8); err == nil {
		t.Error("evaluation of an example that does not fit a row")
	}
}

// What is told of steps without making them is true of them.
func TestStepsUnmade(t *testing.T) {
	s := newSampler(t, SamplerOptions{Rows: 3, SeqLen: 16, Seed: 4}, makeSet("a", lengths(1, 40, 16)...),
		makeSet("b", lengths(2, 11, 6)...), makeSet("c", lengths(3, 3, 16)...))
	tokens := 0
	for step := range 60 {
		b := s.Batch(step)
		rows := make([]int, 3)
		for _, m := range b.Lang {
			rows[m]++
		}
		if got := s.StepRows(step); !slices.Equal(got, rows) {
			t.Errorf("step %d has rows %v, told %v", step, rows, got)
		}
		for m, n := range b.Tokens {
			tokens += n
			if n > rows[m]*16 {
				t.Errorf("step %d: %d tokens in %d rows", step, n, rows[m])
			}
		}
	}
	if told := s.TokensIn(60); math.Abs(told-float64(tokens)) > 3*16 {
		t.Errorf("60 steps have %d tokens, told %v", tokens, told)
	}
}

// No language is read more than MaxRepeat times while all data is read once; the
// others keep their proportions, and one epoch reads every language to its end.
func TestMaxRepeat(t *testing.T) {
	tiny, mid, large := makeSet("tiny", 4), makeSet("mid", lengths(1, 40, 8)...), makeSet("large", lengths(2, 4000, 8)...)
	for _, c := range []struct {
		temperature, most float64
		capped            []bool
	}{
		{1, 10, []bool{false, false, false}},
		{100, 10, []bool{true, true, false}},
		{100, 0, []bool{false, false, false}},
		{math.Inf(1), 1, []bool{true, true, false}},
		{3, 50, []bool{true, false, false}},
	} {
		s := newSampler(t, SamplerOptions{Rows: 4, SeqLen: 16, Temperature: c.temperature, MaxRepeat: c.most}, tiny, mid, large)
		sum := 0.0
		for m, n := range s.Capped() {
			if (n > 0) != c.capped[m] || n > 0 && n <= c.most {
				t.Errorf("T = %v, at most %v: %s would be repeated %v times", c.temperature, c.most, s.Languages()[m], n)
			}
			sum += s.Shares()[m]
		}
		if math.Abs(sum-1) > 1e-12 {
			t.Errorf("shares add up to %v", sum)
		}
		steps := int(math.Ceil(s.StepsPerEpoch()))
		epochs := s.Epochs(steps)
		for m, n := range epochs {
			if n < 0.9 || c.most > 0 && n > 1.2*c.most+1 {
				t.Errorf("T = %v, at most %v: %s is read %.2f times in one epoch of %d steps", c.temperature, c.most, s.Languages()[m], n, steps)
			}
		}
	}
}

// At temperature 1 an epoch is all rows once, to the step.
func TestStepsPerEpochAtTemperatureOne(t *testing.T) {
	s := newSampler(t, SamplerOptions{Rows: 3, SeqLen: 16, Temperature: 1, MaxRepeat: 10}, makeSet("a", lengths(1, 41, 16)...),
		makeSet("b", lengths(2, 977, 9)...), makeSet("c", 3))
	rows := 0
	for _, st := range s.streams {
		rows += st.packing.rows()
	}
	if got, want := s.StepsPerEpoch(), float64(rows)/3; got != want {
		t.Errorf("%v steps, want %v", got, want)
	}
}
