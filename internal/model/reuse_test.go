package model

import (
	"bytes"
	"testing"

	"concord/gpu"
	"concord/internal/optest"
	"concord/tensor"
)

// spoilt are gradients that overwrite all memory that is lent with a parameter before they write its own.
type spoilt struct {
	*gradients
	lent map[string][]gpu.View
}

func (g *spoilt) Linear(name string, dy, x tensor.Tensor, seg tensor.Segments) {
	g.spoil(name)
	g.gradients.Linear(name, dy, x, seg)
}

func (g *spoilt) Use(name string, factor tensor.Tensor, seg tensor.Segments, write func(tensor.Tensor, tensor.Target)) {
	g.spoil(name)
	g.gradients.Use(name, factor, seg, write)
}

func (g *spoilt) spoil(name string) {
	for _, v := range g.lent[name] {
		g.e.Dev.Write(v, bytes.Repeat([]byte{0xff}, int(v.Size))) // NaN
	}
}

// The backward pass reads nothing of what it has lent, whatever comes to lie there: in families of every kind,
// with frozen parameters, and with checkpointing.
func TestLentMemoryIsFree(t *testing.T) {
	e := testEngine(t)
	for name, c := range map[string]Config{"llama": tiny(true), "gemma2": models()["gemma2"], "gpt2": models()["gpt2, tied=false"]} {
		c.Layers, c.Windows = 3, nil
		for how, d := range map[string]Dims{
			"whole":         {},
			"frozen":        {Frozen: func(s Spec) bool { return s.Layer < 1 }},
			"without MLP":   {Frozen: func(s Spec) bool { return s.Layer == 1 && (s.R == c.FFN || s.C == c.FFN) }},
			"checkpointing": {Checkpointing: true},
		} {
			t.Run(name+", "+how, func(t *testing.T) { checkLent(t, newSetupOf(t, e, c, 3), d) })
		}
	}
}

func checkLent(t *testing.T, s *setup, d Dims) {
	d.Rows, d.SeqLen, d.LogitsChunk, d.Objectives = 3, 11, 16, 3
	var err error
	if s.m, err = newTransformer(s.e, s.c, s.w, d); err != nil {
		t.Fatal(err)
	}
	defer s.m.Release()
	s.b = s.m.NewBatch()
	_, want := s.step(t, s.tokens)
	g := &spoilt{newGradients(t, s.e, s.c, 3), s.m.Reusable()}
	if len(g.lent) == 0 {
		t.Error("nothing is lent")
	}
	s.m.Forward(s.b)
	s.m.Backward(s.b, g, nil)
	for _, name := range want.done {
		for m := range 3 {
			if at := optest.Bits(g.read(s.e, name, m), want.read(s.e, name, m)); at >= 0 {
				t.Errorf("%s of objective %d differs at %d", name, m, at)
			}
		}
	}
}
