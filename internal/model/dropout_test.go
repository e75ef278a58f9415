package model

import (
	"maps"
	"math"
	"slices"
	"strings"
	"testing"

	"concord/internal/optest"
	"concord/internal/peft"
	"concord/internal/ref"
)

// dropped are adapted models with dropout.
func dropped() map[string]Config {
	out := map[string]Config{}
	for name, c := range adapted() {
		if !slices.ContainsFunc([]string{"llama, untied", "llama, tied", "gpt2, tied=false, [all", "phi3, [all", "phi3, [qkv_proj g",
			"gemma2", "qwen3"}, func(p string) bool { return strings.HasPrefix(name, p) }) {
			continue
		}
		if slices.Equal(c.Adapter.Targets, []string{"embed_tokens"}) { // ids are not left out
			continue
		}
		a := *c.Adapter
		a.Dropout = 0.3
		c.Adapter = &a
		out[name] = c
	}
	return out
}

// numbered gives t's tokens numbers, the rows of seqLen those of rows.
func numbered(t Tokens, seqLen int, rows ...uint64) Tokens {
	t.Numbers = nil
	for i := range t.IDs {
		t.Numbers = append(t.Numbers, rows[i/seqLen]*uint64(seqLen)+uint64(i%seqLen))
	}
	return t
}

// droppedReference is reference with the masks of t's tokens under a seed.
func droppedReference(c Config, params map[string][]float64, t Tokens, seed uint64) *twin {
	l, n := reference(c, params), newNetwork(c)
	l.Dropped = func(part string, cols int) []float64 {
		a := n.head.adapter
		if part != "head" {
			a = n.adapters.of[l.parts[part]].low()
		}
		return ref.DropoutMask(t.Numbers, cols, c.Adapter.Dropout, dropoutKey(seed, a.masked))
	}
	return l
}

// Loss and gradients under the masks of the tokens' numbers are those of the float64 twin
// under the same masks. Neither evaluation nor decoding leaves anything out.
func TestDropout(t *testing.T) {
	e := testEngine(t)
	for name, c := range dropped() {
		t.Run(name, func(t *testing.T) {
			s := newSetupOf(t, e, c, 3)
			randomAdapter(t, s)
			tokens := numbered(s.tokens, 11, 1<<40+5, 2, 1<<31)
			loss, g := s.step(t, tokens)
			l, b := droppedReference(s.c, s.params, tokens, 0), refBatch(tokens)
			whole := reference(s.c, s.params)
			if err := optest.Compare(loss, float32s(l.Loss(b)), tolerance); err != nil {
				t.Errorf("loss: %v", err)
			}
			if optest.Compare(loss, float32s(whole.Loss(b)), 1e-4) == nil {
				t.Error("the loss is the one without dropout")
			}
			for m, want := range l.Backward(b, tokens.Starts) {
				for _, spec := range ParamSpecs(c) {
					if spec.Frozen {
						continue
					}
					if err := compareGradient(g.read(e, spec.Name, m), float32s(want[spec.Name]), 10*tolerance); err != nil {
						t.Errorf("objective %d, %s: %v", m, spec.Name, err)
					}
				}
			}
			s.m.EvalLoss(s.b)
			eval, err := e.Download(s.m.loss)
			if err == nil {
				err = optest.Compare(eval, float32s(whole.Loss(b)), tolerance)
			}
			if err != nil {
				t.Errorf("evaluation: %v", err)
			}
			s.m.Forward(s.b) // leaves nothing behind for others
			decodes(t, s, whole)
		})
	}
}

// The twin's gradients under fixed masks are those of finite differences along a random
// direction, but for DoRA, whose norms count as constants.
func TestDropoutFiniteDifferences(t *testing.T) {
	e := testEngine(t)
	for name, c := range dropped() {
		if c.Adapter.DoRA {
			continue
		}
		s := newSetupOf(t, e, c, 1)
		randomAdapter(t, s)
		tokens := numbered(oneOf(s.tokens), 11, 7, 8, 9)
		b := refBatch(tokens)
		objective := func(step float64) float64 {
			params := maps.Clone(s.params)
			for i, spec := range ParamSpecs(c) {
				if !spec.Frozen {
					v := slices.Clone(params[spec.Name])
					for j, d := range optest.Random(len(v), uint64(i)) {
						v[j] += step * float64(d)
					}
					params[spec.Name] = v
				}
			}
			sum := 0.0
			for i, v := range droppedReference(c, params, tokens, 0).Loss(b) {
				sum += v * float64(tokens.Scale[i])
			}
			return sum
		}
		const h = 1e-5
		want, got := (objective(h)-objective(-h))/(2*h), 0.0
		_, g := s.step(t, tokens)
		for i, spec := range ParamSpecs(c) {
			if spec.Frozen {
				continue
			}
			v := g.read(e, spec.Name, 0)
			for j, d := range optest.Random(len(v), uint64(i)) {
				got += float64(d) * float64(v[j])
			}
		}
		if math.Abs(got-want) > 1e-4*max(1e-2, math.Abs(want)) {
			t.Errorf("%s: the derivative is %v, by finite differences %v", name, got, want)
		}
	}
}

// With checkpointing the layers that are computed again have the same masks: the same
// bits.
func TestDropoutCheckpointing(t *testing.T) {
	e := testEngine(t)
	for _, dora := range []bool{false, true} {
		c := tiny(false)
		c.Adapter = &peft.Config{Rank: 3, Alpha: 5, Targets: []string{peft.AllLinear}, DoRA: dora, Dropout: 0.2}
		s := newSetupOf(t, e, c, 3)
		randomAdapter(t, s)
		tokens := numbered(s.tokens, 11, 1, 2, 3)
		loss, g := s.step(t, tokens)
		d := s.m.dims
		d.Checkpointing = true
		m, err := newTransformer(e, c, s.w, d)
		if err != nil {
			t.Fatal(err)
		}
		again := *s
		again.m, again.b = m, m.NewBatch()
		lossAgain, gAgain := again.step(t, tokens)
		if n, _ := Differ(loss, lossAgain); n > 0 {
			t.Errorf("dora=%v: %d losses differ", dora, n)
		}
		for _, spec := range ParamSpecs(c) {
			for i := range 3 {
				if spec.Frozen {
					continue
				}
				if n, _ := Differ(g.read(e, spec.Name, i), gAgain.read(e, spec.Name, i)); n > 0 {
					t.Errorf("dora=%v: %d gradients of %s differ", dora, n, spec.Name)
				}
			}
		}
	}
}

// A row has the same losses at any place of a batch, other ones under another number or
// seed. Rows are of 32 tokens: one that began within a tile of attention would be summed in another
// order.
func TestDropoutByNumber(t *testing.T) {
	e := testEngine(t)
	c := tiny(true)
	c.Adapter = &peft.Config{Rank: 3, Alpha: 5, Targets: []string{peft.AllLinear}, Dropout: 0.2}
	s := newSetupOf(t, e, c, 1)
	randomAdapter(t, s)
	const n = 32
	under := func(seed uint64, numbers ...uint64) []float32 {
		d := s.m.dims
		d.Seed, d.SeqLen = seed, n
		m, err := newTransformer(e, c, s.w, d)
		if err != nil {
			t.Fatal(err)
		}
		x := *s
		x.m, x.b = m, m.NewBatch()
		loss, _ := x.step(t, numbered(s.tokens, n, numbers...))
		return loss
	}
	var tokens Tokens
	for i := range uint32(3 * n) { // three equal rows
		tokens.IDs, tokens.Labels, tokens.Pos = append(tokens.IDs, i%n%11), append(tokens.Labels, 3), append(tokens.Pos, i%n)
		tokens.DocStart, tokens.DocEnd = append(tokens.DocStart, i/n*n), append(tokens.DocEnd, i/n*n+n)
	}
	s.tokens = tokens
	v, w := under(s.m.dims.Seed, 4, 5, 1<<33), under(s.m.dims.Seed, 1<<33, 4, 5)
	for i, place := range []int{1, 2, 0} {
		if k, _ := Differ(v[i*n:][:n], w[place*n:][:n]); k > 0 {
			t.Errorf("row %d: %d losses differ at another place", i, k)
		}
	}
	x := under(s.m.dims.Seed+1, 4, 5, 1<<33)
	for _, pair := range [][2][]float32{{v[:n], v[n : 2*n]}, {v[:n], v[2*n:]}, {v[:n], x[:n]}} {
		if k, _ := Differ(pair[0], pair[1]); k < n {
			t.Errorf("under other masks %d of %d losses differ", k, n)
		}
	}
	few := packed(c)
	few.Numbers = []uint64{1}
	if err := s.b.Upload(few); err == nil || !strings.Contains(err.Error(), "1 numbers of tokens") {
		t.Errorf("too few numbers: %v", err)
	}
}
