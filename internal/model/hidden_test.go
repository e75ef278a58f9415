package model

import (
	"math"
	"testing"

	"concord/internal/optest"
	"concord/tensor"
)

// The residual stream that ForwardEach shows last, normalised and multiplied by
// the head on the CPU, gives the losses of EvalLoss; that of layer 0 is the
// embedding's rows.
func TestForwardEach(t *testing.T) {
	e := testEngine(t)
	c := tiny(false)
	w := newWeights(e, c)
	host := fill(t, e, c, w)
	m, err := newTransformer(e, c, w, Dims{Rows: 2, SeqLen: 8, ForwardOnly: true})
	if err != nil {
		t.Fatal(err)
	}
	defer m.Release()
	b := m.NewBatch()
	defer b.Release()
	k := Tokens{}
	for i := range 16 {
		k.IDs, k.Labels = append(k.IDs, uint32(i*7%c.Vocab)), append(k.Labels, uint32(i*5%c.Vocab))
		k.Pos, k.DocStart, k.DocEnd = append(k.Pos, uint32(i%8)), append(k.DocStart, uint32(i/8*8)), append(k.DocEnd, uint32(i/8*8+8))
	}
	if err := b.Upload(k); err != nil {
		t.Fatal(err)
	}
	var states [][]float32
	m.ForwardEach(b, func(layer int, x tensor.Tensor) {
		v, err := e.Download(x)
		if err != nil || layer != len(states) {
			t.Fatalf("layer %d after %d others: %v", layer, len(states), err)
		}
		states = append(states, v)
	})
	if len(states) != c.Layers+1 {
		t.Fatalf("%d layers shown, want %d", len(states), c.Layers+1)
	}
	for i, id := range k.IDs {
		for j := range c.Hidden {
			if got, want := states[0][i*c.Hidden+j], float32(host[llamaEmbed][int(id)*c.Hidden+j]); got != want {
				t.Fatalf("embedding of token %d: %v, want %v", i, got, want)
			}
		}
	}
	m.EvalLoss(b)
	got, err := e.Download(m.loss)
	if err != nil {
		t.Fatal(err)
	}
	want := make([]float32, len(k.IDs))
	for i := range want {
		want[i] = float32(lossOf(c, host, states[c.Layers][i*c.Hidden:(i+1)*c.Hidden], int(k.Labels[i])))
	}
	if err := optest.Compare(got, want, 1e-10); err != nil {
		t.Error(err)
	}
}

// lossOf is −log softmax(head · RMSNorm(x)) at label, in float64.
func lossOf(c Config, host map[string][]float64, x []float32, label int) float64 {
	square := 0.0
	for _, v := range x {
		square += float64(v) * float64(v) / float64(len(x))
	}
	scale, sum, picked := 1/math.Sqrt(square+c.RMSNormEps), 0.0, 0.0
	for v := range c.Vocab {
		z := 0.0
		for j := range x {
			z += host[llamaHead][v*c.Hidden+j] * float64(x[j]) * scale * host[llamaNorm][j]
		}
		if sum += math.Exp(z); v == label {
			picked = z
		}
	}
	return math.Log(sum) - picked
}
