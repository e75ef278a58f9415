package model

import (
	"fmt"

	"concord/gpu"
	"concord/tensor"
)

// Ignore is the label of a token that is not supervised.
const Ignore = 0xffffffff

// Tokens is a batch on the host: N = Rows·SeqLen tokens, sorted by objective.
type Tokens struct {
	IDs []uint32
	// Labels[i] is the id that token i predicts (its successor: labels are
	// shifted already), or Ignore.
	Labels []uint32
	// Pos[i] is the token's position in its document, [DocStart[i], DocEnd[i]) the
	// rows of the document. Padding is a document like any other, with ignored
	// labels. Documents do not cross objectives.
	Pos, DocStart, DocEnd []uint32
	// Scale[i] is the derivative of the objective by the token's loss:
	// 1 / supervised tokens of its language for the mean. nil = 1.
	Scale []float32
	// Numbers[i] is the token's number among all of the run, from which an adapter's dropout is
	// drawn. nil = there is no dropout.
	Numbers []uint64
	// Starts[m]..Starts[m+1]-1 are objective m's tokens; M+1 entries. nil = all
	// are objective 0's, as evaluation needs no others.
	Starts []int
}

// Batch is a batch on the device, reused from step to step.
type Batch struct {
	Segments tensor.Segments

	ids, labels, pos, start, end, scale tensor.Tensor

	numbers  tensor.Tensor // (1, 2N), words of the tokens' numbers, where the model has dropout
	numbered bool          // the tokens have numbers

	spans map[int]tensor.Docs     // by window: the part of its document that a token sees, and the tokens that see it
	split map[int]tensor.Segments // by rows a token: Segments of such rows; all in one if negative
	// tokens is the index of the ids, positions that of Pos where those are learned.
	tokens, positions *tokenIndex
	m                 *transformer
	memory
}

func (m *transformer) NewBatch() *Batch {
	b := &Batch{m: m, memory: memory{e: m.e}, spans: map[int]tensor.Docs{}, split: map[int]tensor.Segments{}}
	row := func(label string) tensor.Tensor { return b.new(gpu.RoleData, label, 1, m.n) }
	b.ids, b.labels, b.pos, b.scale = row("ids"), row("labels"), row("pos"), row("scale")
	b.start, b.end = row("doc start"), row("doc end")
	for _, w := range m.config.windows() {
		if b.spans[w] = (tensor.Docs{Start: b.start, End: b.end}); w > 0 {
			b.spans[w] = tensor.Docs{Start: row("window start"), End: row("window end")}
		}
	}
	if m.adapters != nil && m.adapters.dropout.x.Buf != nil {
		b.numbers = b.new(gpu.RoleData, "numbers", 1, 2*m.n)
	}
	one := oneObjective(m.n, m.dims.Objectives)
	b.Segments = b.segments(one)
	if !m.dims.ForwardOnly {
		b.tokens = newTokenIndex(m.e, m.n, m.dims.Objectives)
		if m.embedding.positions != nil {
			b.positions = newTokenIndex(m.e, m.n, m.dims.Objectives)
		}
	}
	return b
}

// tokenIndex sorts the tokens of a batch by the rows of a table that they use.
type tokenIndex struct {
	parts *tensor.TokenIndex // by objective
	whole *tensor.TokenIndex // all tokens in one; the same as parts for one objective
}

func newTokenIndex(e *tensor.Engine, n, objectives int) *tokenIndex {
	x := &tokenIndex{parts: e.NewTokenIndex(n, objectives)}
	if x.whole = x.parts; objectives > 1 {
		x.whole = e.NewTokenIndex(n, 1)
	}
	return x
}

// of is the index of the batch's tokens in so many segments.
func (x *tokenIndex) of(segments int) *tensor.TokenIndex {
	if segments == 1 {
		return x.whole
	}
	return x.parts
}

// update and release do nothing where there is no index.
func (x *tokenIndex) update(rows []uint32, seg tensor.Segments) {
	if x == nil {
		return
	}
	x.parts.Update(rows, seg)
	if x.whole != x.parts {
		x.whole.Update(rows, tensor.Segments{Starts: []int{0, len(rows)}})
	}
}

func (x *tokenIndex) release() {
	if x == nil {
		return
	}
	x.parts.Release()
	if x.whole != x.parts {
		x.whole.Release()
	}
}

// segments is starts on the device.
func (b *Batch) segments(starts []int) tensor.Segments {
	s := b.e.NewSegments(gpu.RoleData, starts)
	b.owned = append(b.owned, s.Dev)
	return s
}

// oneObjective is segments; the first holds all n tokens.
func oneObjective(n, objectives int) []int {
	starts := make([]int, objectives+1)
	for i := range objectives {
		starts[i+1] = n
	}
	return starts
}

// Upload writes t to the device, in program order with the work recorded so
// far. The error says which token is wrong: an id outside of the vocabulary, a
// position outside of the model's, a document that is not one.
func (b *Batch) Upload(t Tokens) error {
	if t.Starts == nil {
		t.Starts = oneObjective(len(t.IDs), b.m.dims.Objectives)
	}
	if t.Scale == nil {
		t.Scale = make([]float32, len(t.IDs))
		for i := range t.Scale {
			t.Scale[i] = 1
		}
	}
	if err := b.check(t); err != nil {
		return fmt.Errorf("model: batch: %w", err)
	}
	e := b.m.e
	for _, x := range []struct {
		to   tensor.Tensor
		data []uint32
	}{{b.ids, t.IDs}, {b.labels, t.Labels}, {b.pos, t.Pos}, {b.start, t.DocStart}, {b.end, t.DocEnd}} {
		e.UploadU32(x.to, x.data)
	}
	e.Upload(b.scale, t.Scale)
	b.uploadNumbers(t.Numbers)
	b.Segments = b.upload(b.Segments, t.Starts, 1)
	for k, s := range b.split {
		if k > 0 {
			b.split[k] = b.upload(s, t.Starts, k)
		}
	}
	b.uploadSpans(t)
	b.tokens.update(t.IDs, b.Segments)
	b.positions.update(t.Pos, b.Segments)
	return nil
}

// upload writes starts, in rows, k a token, to s.
func (b *Batch) upload(s tensor.Segments, starts []int, k int) tensor.Segments {
	dev := make([]uint32, len(starts))
	s.Starts = make([]int, len(starts))
	for i, x := range starts {
		dev[i], s.Starts[i] = uint32(x*k), x*k
	}
	b.e.UploadU32(s.Dev, dev)
	return s
}

// uploadNumbers writes the tokens' numbers as two words each, where the model needs them.
func (b *Batch) uploadNumbers(numbers []uint64) {
	if b.numbered = numbers != nil && b.numbers.Buf != nil; !b.numbered {
		return
	}
	words := make([]uint32, 0, 2*len(numbers))
	for _, v := range numbers {
		words = append(words, uint32(v), uint32(v>>32))
	}
	b.e.UploadU32(b.numbers, words)
}

// uploadSpans cuts the documents to the layers' windows: of w tokens, token i
// sees those from i-w+1 on and is seen by those before i+w.
func (b *Batch) uploadSpans(t Tokens) {
	longest := 1
	for i := range t.DocStart {
		longest = max(longest, int(t.DocEnd[i]-t.DocStart[i]))
	}
	for w, d := range b.spans {
		if d.Longest = longest; w > 0 {
			d.Longest = min(longest, w)
			start, end := make([]uint32, b.m.n), make([]uint32, b.m.n)
			for i := range b.m.n {
				start[i] = uint32(max(int(t.DocStart[i]), i-w+1))
				end[i] = uint32(min(int(t.DocEnd[i]), i+w))
			}
			b.e.UploadU32(d.Start, start)
			b.e.UploadU32(d.End, end)
		}
		b.spans[w] = d
	}
}

// rows is seg, the batch's segments or all tokens in one, in rows, k a
// token.
func (b *Batch) rows(seg tensor.Segments, k int) tensor.Segments {
	if k == 1 {
		return seg
	}
	if seg.M() == 1 && b.Segments.M() > 1 { // all in one: of the batch's there are more
		k = -k
	}
	s, ok := b.split[k]
	if !ok {
		starts := make([]int, len(seg.Starts))
		for i, x := range seg.Starts {
			starts[i] = x * max(k, -k)
		}
		s = b.segments(starts)
		b.split[k] = s
	}
	return s
}

func (b *Batch) check(t Tokens) error {
	n, d := b.m.n, b.m.dims
	for _, x := range []struct {
		what string
		n    int
	}{{"ids", len(t.IDs)}, {"labels", len(t.Labels)}, {"positions", len(t.Pos)}, {"document starts", len(t.DocStart)},
		{"document ends", len(t.DocEnd)}, {"scales", len(t.Scale)}} {
		if x.n != n {
			return fmt.Errorf("%d %s, the model is made for %d tokens", x.n, x.what, n)
		}
	}
	if t.Numbers != nil && len(t.Numbers) != n {
		return fmt.Errorf("%d numbers of tokens, the model is made for %d tokens", len(t.Numbers), n)
	}
	if len(t.Starts) != d.Objectives+1 || t.Starts[0] != 0 || t.Starts[d.Objectives] != n {
		return fmt.Errorf("segments %v do not cut %d tokens into %d objectives", t.Starts, n, d.Objectives)
	}
	for i := range d.Objectives {
		if t.Starts[i] > t.Starts[i+1] {
			return fmt.Errorf("segments %v are not ascending", t.Starts)
		}
	}
	vocab := uint32(b.m.config.Vocab)
	for i, id := range t.IDs {
		switch {
		case id >= vocab:
			return fmt.Errorf("token %d has id %d, the model's vocabulary is %d: tokenizer and model do not belong together", i, id, vocab)
		case t.Labels[i] >= vocab && t.Labels[i] != Ignore:
			return fmt.Errorf("token %d has label %d, the model's vocabulary is %d: tokenizer and model do not belong together", i,
				t.Labels[i], vocab)
		case int(t.Pos[i]) >= d.SeqLen:
			return fmt.Errorf("token %d stands at position %d, the model is made for sequences of %d", i, t.Pos[i], d.SeqLen)
		case int(t.DocStart[i]) > i || int(t.DocEnd[i]) <= i || int(t.DocEnd[i]) > n:
			return fmt.Errorf("token %d is not in its document [%d, %d)", i, t.DocStart[i], t.DocEnd[i])
		}
	}
	return t.checkDocuments()
}

// checkDocuments makes sure that the documents cut the batch: the backward pass
// of attention relies on every token of one telling the same start and end.
// Every token is known to lie in the document that it tells.
func (t Tokens) checkDocuments() error {
	for i := range t.DocStart {
		first := i == 0 || int(t.DocEnd[i-1]) == i
		switch {
		case first && int(t.DocStart[i]) != i:
			return fmt.Errorf("token %d is in document [%d, %d), but the document before ends there", i, t.DocStart[i], t.DocEnd[i])
		case !first && (t.DocStart[i] != t.DocStart[i-1] || t.DocEnd[i] != t.DocEnd[i-1]):
			return fmt.Errorf("token %d is in document [%d, %d), but token %d in [%d, %d)", i, t.DocStart[i], t.DocEnd[i], i-1,
				t.DocStart[i-1], t.DocEnd[i-1])
		}
	}
	for m, s := range t.Starts {
		if s < len(t.DocStart) && int(t.DocStart[s]) != s {
			return fmt.Errorf("objective %d starts at token %d, inside document [%d, %d)", m, s, t.DocStart[s], t.DocEnd[s])
		}
	}
	return nil
}

// docs are the batch's documents, for attention with a window; 0 = all of them.
func (b *Batch) docs(window int) tensor.Docs { return b.spans[window] }

// Release frees the memory of NewBatch.
func (b *Batch) Release() {
	b.release()
	b.tokens.release()
	b.positions.release()
}
