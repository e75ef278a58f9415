package tensor

import (
	"fmt"
	"math"
	"slices"
	"testing"

	"concord/gpu"
	"concord/internal/optest"
	"concord/internal/ref"
)

// vocabularyCase is a matrix with its uses on the host and on a device.
type vocabularyCase struct {
	x, w, d, scale []float32
	ids, labels    []uint32
	starts         []int
	v, c           int
	seg            Segments
	loss           *LinearCrossEntropy
}

func newVocabularyCase(v, c int, starts []int) *vocabularyCase {
	n := starts[len(starts)-1]
	k := &vocabularyCase{x: optest.Random(n*c, 1), w: optest.Random(v*c, 2), d: optest.Random(n*c, 3), scale: optest.Random(n, 4),
		ids: randomIDs(n, min(v, 29), 5), labels: randomIDs(n, v, 6), starts: starts, v: v, c: c}
	k.labels[n/2] = IgnoredLabel
	k.ids[n-1] = uint32(v - 1)
	return k
}

// on makes the uses on e, after the head's loss. Vectors are new each time, as Weigh
// changes them.
func (k *vocabularyCase) on(e *Engine, chunk int, head, table bool) (v Vocabulary) {
	n := len(k.ids)
	k.seg = e.NewSegments(gpu.RoleData, k.starts)
	if head {
		x, w := upload(e, n, k.c, k.x), upload(e, k.v, k.c, k.w)
		k.loss = e.NewLinearCrossEntropy(n, k.v, chunk)
		h := &HeadTokens{Loss: k.loss, X: x, Weight: w, Labels: uploadU32(e, k.labels), Scale: upload(e, 1, n, k.scale)}
		k.loss.Run(x, w, h.Labels, h.Scale, e.New(gpu.RoleScratch, "loss", 1, n), &HeadGradients{DX: e.New(gpu.RoleScratch, "dx", n, k.c)})
		v.Head = h
	}
	if table {
		idx := e.NewTokenIndex(n, 1)
		idx.Update(k.ids, Segments{Starts: []int{0, n}})
		parts := e.NewTokenIndex(n, len(k.starts)-1)
		parts.Update(k.ids, k.seg)
		v.Ids = &TableTokens{IDs: uploadU32(e, k.ids), D: upload(e, n, k.c, k.d), Index: idx, Parts: parts}
	}
	return v
}

// rows is the float64 gradients.
func (k *vocabularyCase) rows(head, table bool) []float64 {
	var x, d []float32
	if head {
		x = k.x
	}
	if table {
		d = k.d
	}
	return ref.Vocabulary(x, k.w, k.labels, k.scale, k.ids, d, k.starts, k.v, k.c)
}

// TestVocabulary compares the Gram and the weighted sum with float64 gradients, of a head, of
// an embedding and of both, from products between tokens and from rows in turn, with logits that
// exist in one part and in many, on a device whose bindings hold the matrix and on one whose do not.
// An objective of weight 0 may be NaN.
func TestVocabulary(t *testing.T) {
	for _, e := range []*Engine{testEngine(t), limited(t, 30_000)} {
		for _, k := range []*vocabularyCase{newVocabularyCase(300, 33, []int{0, 7, 7, 40, 61}), newVocabularyCase(1031, 20, []int{0, 16, 17})} {
			n, m := len(k.ids), len(k.starts)-1
			for _, uses := range [][2]bool{{true, true}, {true, false}, {false, true}} {
				for _, chunk := range []int{16, n} {
					if chunk*4*k.v > int(e.tune.limit) {
						continue
					}
					what := fmt.Sprintf("%d x %d, head and embedding %v, chunk %d", k.v, k.c, uses, chunk)
					want := k.rows(uses[0], uses[1])
					s, sums := vocabularyScratch(e, n, m), e.NewGramSums(e.VocabularySums(m))
					v := k.on(e, chunk, uses[0], uses[1])
					g := e.NewGramSum(m, sums)
					g.AddVocabulary(v, k.seg, s)
					k.checkGram(t, what, g, want, 1)
					for _, rows := range []int{64, 192, k.v} {
						checkRowsInTurn(t, e, fmt.Sprint(what, ", ", rows, " rows in turn"), k, v, want, rows, s)
					}
					k.checkSum(t, e, what, v, want, s)
				}
			}
		}
	}
}

// checkGram checks the Gram that g, of nothing else, holds so many times.
func (k *vocabularyCase) checkGram(t *testing.T, what string, g *GramSum, rows []float64, times float64) {
	t.Helper()
	g.Start()
	got, err := g.Wait()
	if err != nil {
		t.Fatal(err)
	}
	m := len(k.starts) - 1
	gram := make([]float64, m*m)
	for i := range m {
		for j := range m {
			for q := range k.v * k.c {
				gram[i*m+j] += times * rows[i*k.v*k.c+q] * rows[j*k.v*k.c+q]
			}
		}
	}
	if d := activeGramError(got, gram, m); d > 1e-5 {
		t.Errorf("%s: the Gram's relative error is %.3g", what, d)
	}
}

// checkRowsInTurn checks the Gram of so many rows at a time, taken twice in one sum, as two
// matrices are: to the same bits.
func checkRowsInTurn(t *testing.T, e *Engine, what string, k *vocabularyCase, v Vocabulary, want []float64, rows int, s VocabularyScratch) {
	t.Helper()
	m, ld := len(k.starts)-1, F32.LD(k.c)
	stride := alignUp(rows*ld, 64)
	buf := e.Dev.NewBuffer(gpu.RoleRows, "rows in turn", f32Bytes(m*stride))
	part := TaskGrads{Buf: buf, M: m, Stride: stride, R: rows, C: k.c, LD: ld}
	scratch, need := e.NewGramScratch(m, min(rows*ld, e.BindingElements())), e.VocabularyRowSums(m, k.v, rows, ld)
	sums := e.NewGramSums(2 * need)
	g := e.NewGramSum(m, sums)
	for i := range 2 {
		g.AddVocabularyRows(v, k.v, k.seg, part, s, scratch)
		if want := need * int64(i+1); g.at != want {
			t.Errorf("%s: %d bytes of sums, %d are planned", what, g.at, want)
		}
	}
	k.checkGram(t, what, g, want, 2)
	b, err := g.read.Wait()
	if err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(b[:need], b[need:]) {
		t.Errorf("%s: the same Gram again has other bits", what)
	}
	scratch.Release()
	sums.Release()
	buf.Release()
}

// vocabularyScratch is scratch with its products in one buffer.
func vocabularyScratch(e *Engine, n, m int) VocabularyScratch {
	size := int64(alignUp(int(VocabularySquare(n)), bindAlign))
	buf := e.Dev.NewBuffer(gpu.RoleScratch, "products between tokens", VocabularySquares*size)
	var places [VocabularySquares]gpu.View
	for i := range places {
		places[i] = gpu.View{Buf: buf, Offset: int64(i) * size, Size: size}
	}
	return e.NewVocabularyScratch(n, m).In(places)
}

// checkSum checks a weighted sum in two pieces.
func (k *vocabularyCase) checkSum(t *testing.T, e *Engine, what string, v Vocabulary, rows []float64, s VocabularyScratch) {
	t.Helper()
	nan := float32(math.NaN())
	weights, sum := make([]float32, len(k.ids)), make([]float32, k.v*k.c)
	for m := range len(k.starts) - 1 {
		w := []float32{0.5, 3, 0, -1.25}[m]
		for i := k.starts[m]; i < k.starts[m+1]; i++ {
			if weights[i] = w; w == 0 && v.Ids != nil {
				e.Dev.Write(f32View(v.Ids.D, i*v.Ids.D.LD, 4), byteView([]float32{nan, nan, nan, nan}))
			}
		}
		for q := range sum {
			sum[q] += float32(float64(w) * rows[m*len(sum)+q])
		}
	}
	e.Weigh(v, weights, s)
	out := guarded(e, k.v, k.c)
	for _, r := range [][2]int{{0, 128}, {128, k.v}} {
		e.VocabularyRows(block(out, r[0], r[1], 0, k.c), v, r[0], s)
	}
	if err := optest.Compare(download(t, e, out), sum, 1e-10); err != nil {
		t.Errorf("%s: the weighted sum: %v", what, err)
	}
	checkGuards(t, e, out)
}
