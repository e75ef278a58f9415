package doctor

import (
	"errors"
	"fmt"

	"concord/gpu"
	"concord/internal/optest"
	"concord/internal/ref"
	"concord/tensor"
)

// vocabularyTests checks the Gram and the gradient of a matrix that is embedding and head,
// from tokens.
func vocabularyTests() []Test {
	return []Test{
		{Kernel: "logits_gradient", Run: func(e *Probe) error { return checkVocabulary(e, 16) }},
		{Kernel: "token_gather", Run: func(e *Probe) error { return checkVocabulary(e, 64) }},
	}
}

func checkVocabulary(e *Probe, chunk int) error {
	const n, v, c, m = 50, 330, 20, 3
	starts := []int{0, 21, 21, n}
	hx, hw, hd, hs := optest.Random(n*c, 1), optest.Random(v*c, 2), optest.Random(n*c, 3), optest.Random(n, 4)
	ids, labels := make([]uint32, n), make([]uint32, n)
	for i := range ids {
		ids[i], labels[i] = uint32(i*i%17), uint32(i*131%v)
	}
	x, w, d, scale := matrix(e, n, c, hx), matrix(e, v, c, hw), matrix(e, n, c, hd), matrix(e, 1, n, hs)
	dx, loss, out := e.New(gpu.RoleScratch, "doctor", n, c), e.New(gpu.RoleScratch, "doctor", 1, n), e.New(gpu.RoleScratch, "doctor", v, c)
	ti, tl, seg := vectorU32(e, ids), vectorU32(e, labels), e.NewSegments(gpu.RoleData, starts)
	defer release(x, w, d, scale, dx, loss, out, ti, tl, seg.Dev)
	head, idx := e.NewLinearCrossEntropy(n, v, chunk), e.NewTokenIndex(n, 1)
	s, sums := e.NewVocabularyScratch(n, m), e.NewGramSums(e.VocabularySums(m))
	var places [tensor.VocabularySquares]gpu.View
	for i := range places {
		places[i].Buf = e.Dev.NewBuffer(gpu.RoleScratch, "doctor", tensor.VocabularySquare(n))
		defer places[i].Buf.Release()
	}
	defer head.Release()
	defer idx.Release()
	defer s.Release()
	defer sums.Release()
	head.Run(x, w, tl, scale, loss, &tensor.HeadGradients{DX: dx})
	idx.Update(ids, tensor.Segments{Starts: []int{0, n}})
	both := tensor.Vocabulary{Head: &tensor.HeadTokens{Loss: head, X: x, Weight: w, Labels: tl, Scale: scale},
		Ids: &tensor.TableTokens{IDs: ti, D: d, Index: idx}}
	g := e.NewGramSum(m, sums)
	g.AddVocabulary(both, seg, s.In(places))
	g.Start()
	got, err := g.Wait()
	if err != nil {
		return err
	}
	rows, want, sum := ref.Vocabulary(hx, hw, labels, hs, ids, hd, starts, v, c), make([]float64, m*m), make([]float32, v*c)
	for k := range v * c {
		for i := range m {
			sum[k] += float32(rows[i*v*c+k])
			for j := range m {
				want[i*m+j] += rows[i*v*c+k] * rows[j*v*c+k]
			}
		}
	}
	if worst, k := e.compareGram(got, want, m); !(worst <= 1e-5) {
		err = fmt.Errorf("gram from tokens: entry (%d,%d) is %v, want %v", k/m, k%m, got[k], want[k])
	}
	weights := make([]float32, n)
	for i := range weights {
		weights[i] = 1
	}
	e.Weigh(both, weights, s)
	e.VocabularyRows(out, both, 0, s)
	return errors.Join(err, same(e, "gradient from tokens", out, sum))
}
