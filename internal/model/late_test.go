package model

import (
	"math"
	"slices"
	"testing"

	"concord/gpu"
	"concord/internal/optest"
	"concord/tensor"
)

// lateGradients are gradients that take those of the embedding and the head late, in parts
// or as sums over tokens.
type lateGradients struct {
	*gradients
	late   map[string]bool
	after  int                          // parameters that were complete before
	tokens map[string]tensor.Vocabulary // nil: in parts
}

func (g *lateGradients) Late(name string) bool { return g.late[name] }

func (g *lateGradients) ByTokens(string) bool { return g.tokens != nil }

func (g *lateGradients) TakeTokens(name string, _ tensor.Segments, v tensor.Vocabulary) {
	g.tokens[name] = v
	g.after = len(g.done)
	g.done = append(g.done, name)
}

func (g *lateGradients) TakeLate(name string, seg tensor.Segments, write func([]tensor.Part)) {
	r := g.rows[name]
	var parts []tensor.Part
	for lo := 0; lo < r.R; lo += tensor.PartRows {
		p := r
		p.R = min(tensor.PartRows, r.R-lo)
		p.Offset += int64(lo*r.LD) * 4
		parts = append(parts, tensor.Part{Lo: lo, Target: tensor.Target{Rows: p, Segments: seg}})
	}
	g.after = len(g.done)
	write(parts)
	g.done = append(g.done, name)
}

// Late gradients are those of the float64 reference, and so are all others and the
// losses, of heads that are tied and not, with caps, factors and learned positions.
func TestLateGradients(t *testing.T) {
	e := testEngine(t)
	for name, c := range models() {
		c.Vocab = 150 // two parts
		t.Run(name, func(t *testing.T) {
			s := newSetupOf(t, e, c, 3)
			n := newNetwork(c)
			late := map[string]bool{n.embedding.table.Name: true, n.head.weight.Name: true}
			if err := s.b.Upload(s.tokens); err != nil {
				t.Fatal(err)
			}
			g := &lateGradients{gradients: newGradients(t, e, c, 3), late: late}
			s.m.Forward(s.b)
			s.m.Backward(s.b, g, nil)
			loss, err := e.Download(s.m.loss)
			if err != nil {
				t.Fatal(err)
			}
			l, b := reference(c, s.params), refBatch(s.tokens)
			if err := optest.Compare(loss, float32s(l.Loss(b)), tolerance); err != nil {
				t.Errorf("loss: %v", err)
			}
			wanted := l.Backward(b, s.tokens.Starts)
			for m, want := range wanted {
				for _, spec := range ParamSpecs(c) {
					if err := compareGradient(g.read(e, spec.Name, m), float32s(want[spec.Name]), tolerance); err != nil {
						t.Errorf("objective %d, %s: %v", m, spec.Name, err)
					}
				}
			}
			if all := len(ParamSpecs(c)); len(g.done) != all || g.after != all-1 {
				t.Errorf("%d of %d parameters are complete, %d before the last late one", len(g.done), all, g.after)
			}
			checkTokens(t, s, late, wanted)
		})
	}
}

// checkTokens holds that the late gradients as sums over tokens, of weight 1, are those of
// all objectives together, and that the Gram of rows in turn is that of each.
func checkTokens(t *testing.T, s *setup, late map[string]bool, wanted []map[string][]float64) {
	t.Helper()
	g := &lateGradients{gradients: newGradients(t, s.e, s.c, 3), late: late, tokens: map[string]tensor.Vocabulary{}}
	s.m.Forward(s.b)
	s.m.Backward(s.b, g, nil)
	if len(g.tokens) != len(late) || len(g.done) != len(ParamSpecs(s.c)) {
		t.Errorf("%d of %d late gradients come as tokens, %d parameters are complete", len(g.tokens), len(late), len(g.done))
	}
	weights := slices.Repeat([]float32{1}, len(s.tokens.IDs))
	scratch := s.e.NewVocabularyScratch(len(weights), 3)
	defer scratch.Release()
	for name, v := range g.tokens {
		checkRowsInTurn(t, s, name, v, wanted, scratch)
		out := s.e.New(gpu.RoleScratch, "late gradient", s.w[name].R, s.w[name].C)
		s.e.Weigh(v, weights, scratch)
		s.e.VocabularyRows(out, v, 0, scratch)
		got, err := s.e.Download(out)
		if err != nil {
			t.Fatal(err)
		}
		want := make([]float64, len(got))
		for _, of := range wanted {
			for i, x := range of[name] {
				want[i] += x
			}
		}
		if err := compareGradient(got, float32s(want), tolerance); err != nil {
			t.Errorf("%s as a sum over tokens: %v", name, err)
		}
		out.Buf.Release()
	}
}

// checkRowsInTurn checks the Gram of v, the gradients of the parameter called name.
func checkRowsInTurn(t *testing.T, s *setup, name string, v tensor.Vocabulary, wanted []map[string][]float64,
	scratch tensor.VocabularyScratch) {
	t.Helper()
	w, m := s.w[name], len(wanted)
	n := tensor.PartRows * w.LD
	part := s.e.New(gpu.RoleRows, "rows in turn", 1, m*n)
	defer part.Buf.Release()
	gs, sums := s.e.NewGramScratch(m, n), s.e.NewGramSums(s.e.VocabularyRowSums(m, w.R, tensor.PartRows, w.LD))
	defer gs.Release()
	defer sums.Release()
	g := s.e.NewGramSum(m, sums)
	rows := tensor.TaskGrads{Buf: part.Buf, M: m, Stride: n, R: tensor.PartRows, C: w.C, LD: w.LD}
	g.AddVocabularyRows(v, w.R, s.b.Segments, rows, scratch, gs)
	g.Start()
	got, err := g.Wait()
	if err != nil {
		t.Fatal(err)
	}
	dot := func(i, j int) (sum float64) {
		for k, x := range wanted[i][name] {
			sum += x * wanted[j][name][k]
		}
		return sum
	}
	for i := range m {
		for j := range m {
			if d := math.Abs(got[i*m+j] - dot(i, j)); d > 1e-5*math.Sqrt(dot(i, i)*dot(j, j)) {
				t.Errorf("%s, rows in turn: entry %d, %d of the Gram is %g, not %g", name, i, j, got[i*m+j], dot(i, j))
			}
		}
	}
}

// ActivationBytes is what a model allocates.
func TestActivationBytes(t *testing.T) {
	e := testEngine(t)
	for name, c := range models() {
		for _, on := range []bool{false, true} {
			before := e.Dev.Memory().Roles["activations"].Current
			m, err := newTransformer(e, c, newWeights(e, c), Dims{Rows: 2, SeqLen: 16, Checkpointing: on})
			if err != nil {
				t.Fatal(err)
			}
			got, want := e.Dev.Memory().Roles["activations"].Current-before, 32*c.ActivationBytes(on)
			if d := float64(got)/float64(want) - 1; d < -0.05 || d > 0.1 { // padding, losses, statistics of layer norms
				t.Errorf("%s, checkpointing %v: %d bytes allocated, %d computed", name, on, got, want)
			}
			m.Release()
		}
	}
}
