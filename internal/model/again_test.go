package model

import (
	"testing"

	"concord/internal/optest"
)

// A second backward after one forward has the same bits, with every kind of MLP and of norms, and
// with checkpointing; without Dims.Again it is refused.
func TestBackwardAgain(t *testing.T) {
	e := testEngine(t)
	for _, name := range []string{"llama, biases", "qwen3", "gemma2", "gpt2, tied=true"} {
		c := models()[name]
		s := newSetupOf(t, e, c, 3)
		_, want := s.step(t, s.tokens)
		func() {
			defer func() {
				if recover() == nil {
					t.Errorf("%s: a second backward on what the first has left", name)
				}
			}()
			s.m.Backward(s.b, newGradients(t, e, c, 3), nil)
		}()
		d := s.m.dims
		for _, d.Checkpointing = range []bool{false, true} {
			d.Again = true
			m, err := newTransformer(e, c, s.w, d)
			if err != nil {
				t.Fatal(err)
			}
			again := *s
			again.m, again.b = m, m.NewBatch()
			_, first := again.step(t, s.tokens)
			second := newGradients(t, e, c, 3)
			m.Backward(again.b, second, nil)
			for _, spec := range ParamSpecs(c) {
				for i := range 3 {
					x, y, z := want.read(e, spec.Name, i), first.read(e, spec.Name, i), second.read(e, spec.Name, i)
					if optest.Bits(x, y) >= 0 || optest.Bits(x, z) >= 0 {
						t.Errorf("%s, checkpointing %v: %s of objective %d differs", name, d.Checkpointing, spec.Name, i)
					}
				}
			}
		}
	}
}
