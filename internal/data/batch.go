package data

import (
	"cmp"
	"math"
	"slices"
)

// Ignore is the label of a token that carries no loss.
const Ignore = 0xffffffff

// Batch is Rows × SeqLen tokens, flattened row by row, the rows sorted by
// language. Slices are the caller's to keep.
//
// Token i belongs to the document that is tokens [DocStart[i], DocEnd[i]) of
// the flattened batch, at place Pos[i] of it. Padding, at the end of rows, has
// id 0 and label Ignore; each padding token is a document of its own.
type Batch struct {
	Rows, SeqLen          int
	IDs, Labels           []uint32 // Labels[i] is the token after IDs[i], or Ignore
	DocStart, DocEnd, Pos []uint32
	Lang                  []int    // language of each row
	Number                []uint64 // of each row, among all rows of the run; 0 where it is none of a run's
	Starts                []int    // language m owns tokens Starts[m] .. Starts[m+1]-1
	Supervised            []int    // labels that are not Ignore, per language
	Tokens                []int    // positions that are not padding, per language
	Bytes                 []int    // of supervised text, per language
	Docs                  []Doc    // one by one, in their order
	// Err, if not nil, says that examples could not be read. The batch must not be
	// trained or measured on.
	Err error
}

// Doc is one document of a batch.
type Doc struct {
	Lang  int
	Index int // of its example in the list that was given to NewEvaluation; −1 in a training batch
	Start int // its first token of the flattened batch
	Bytes int // of supervised text
}

// row is one row's content.
type row struct {
	lang     int
	examples []Example
	index    []int // of the examples, or nil
}

// newBatch lays out rows, sorted by language; rows missing at the end are
// padding and belong to the last language.
func newBatch(rows []row, numRows, seqLen, numLangs int) *Batch {
	n := numRows * seqLen
	b := &Batch{
		Rows: numRows, SeqLen: seqLen,
		IDs: make([]uint32, n), Labels: make([]uint32, n),
		DocStart: make([]uint32, n), DocEnd: make([]uint32, n), Pos: make([]uint32, n),
		Lang: make([]int, numRows), Number: make([]uint64, numRows), Starts: make([]int, numLangs+1),
		Supervised: make([]int, numLangs), Tokens: make([]int, numLangs), Bytes: make([]int, numLangs),
	}
	for i := range b.Labels {
		b.Labels[i] = Ignore
		b.DocStart[i], b.DocEnd[i] = uint32(i), uint32(i+1)
	}
	count := make([]int, numLangs)
	for r := range numRows {
		lang := numLangs - 1
		if r < len(rows) {
			lang = rows[r].lang
			b.fill(r, rows[r])
		}
		b.Lang[r] = lang
		count[lang] += seqLen
	}
	for m := range numLangs {
		b.Starts[m+1] = b.Starts[m] + count[m]
	}
	return b
}

// Part is rows [from, to) of b as a batch of so many rows, at least as many as
// these: the missing ones are padding of the last of them. Languages keep their
// numbers. Bytes are not counted, Docs not listed.
func (b *Batch) Part(from, to, rows int) *Batch {
	p := newBatch(nil, rows, b.SeqLen, len(b.Supervised))
	for r := from; r < to; r++ {
		p.take(r-from, b, r)
	}
	p.Starts = Cut(b.Starts, from*b.SeqLen, (to-from)*b.SeqLen, rows*b.SeqLen)
	return p
}

// Pick is the rows of b that are named, ascending, as a batch of so many rows like
// Part's.
func (b *Batch) Pick(picked []int, rows int) *Batch {
	p := newBatch(nil, rows, b.SeqLen, len(b.Supervised))
	for i, r := range picked {
		p.take(i, b, r)
	}
	p.border(len(picked))
	return p
}

// Join is batches of one shape as one, whose rows are sorted by language and then
// such that neighbours come from different batches: of any range of rows, every
// batch has about as many. of is the batch that each row is from.
func Join(batches []*Batch) (all *Batch, of []int) {
	first := batches[0]
	all = newBatch(nil, first.Rows*len(batches), first.SeqLen, len(first.Supervised))
	for _, b := range batches {
		all.Err = cmp.Or(all.Err, b.Err)
	}
	at := 0
	for m := range first.Supervised {
		for i, left := 0, true; left; i++ {
			left = false
			for k, b := range batches {
				if r := slices.Index(b.Lang, m); r >= 0 && r+i < b.Rows && b.Lang[r+i] == m {
					all.take(at, b, r+i)
					of, at, left = append(of, k), at+1, true
				}
			}
		}
	}
	all.border(at)
	return all, of
}

// take copies row r of from to row at.
func (b *Batch) take(at int, from *Batch, r int) {
	s := b.SeqLen
	lo, src := at*s, r*s
	copy(b.IDs[lo:lo+s], from.IDs[src:])
	copy(b.Labels[lo:lo+s], from.Labels[src:])
	copy(b.Pos[lo:lo+s], from.Pos[src:])
	b.Lang[at], b.Number[at] = from.Lang[r], from.Number[r]
	for i := range s {
		b.DocStart[lo+i], b.DocEnd[lo+i] = from.DocStart[src+i]-uint32(src)+uint32(lo), from.DocEnd[src+i]-uint32(src)+uint32(lo)
		if b.Labels[lo+i] != Ignore {
			b.Supervised[b.Lang[at]]++
		}
		if b.Labels[lo+i] != Ignore || b.DocEnd[lo+i]-b.DocStart[lo+i] > 1 {
			b.Tokens[b.Lang[at]]++
		}
	}
}

// border finds the languages' first tokens in so many rows; the part after them
// belongs to the last.
func (b *Batch) border(rows int) {
	last := len(b.Starts) - 1
	for r := range rows {
		for m := b.Lang[r] + 1; m < last; m++ {
			b.Starts[m] = (r + 1) * b.SeqLen
		}
	}
	b.Starts[last] = len(b.IDs)
}

// Cut is borders of segments, as seen by the n tokens from lo on; the part after
// them up to all belongs to the last segment.
func Cut(starts []int, lo, n, all int) []int {
	out := make([]int, len(starts))
	for i, at := range starts {
		out[i] = min(max(at-lo, 0), n)
	}
	out[len(out)-1] = all
	return out
}

// fill writes one row's examples from the row's start.
func (b *Batch) fill(r int, content row) {
	at := r * b.SeqLen
	for k, e := range content.examples {
		start, n, index := at, e.Positions(), -1
		if content.index != nil {
			index = content.index[k]
		}
		b.Docs = append(b.Docs, Doc{Lang: content.lang, Index: index, Start: start, Bytes: e.Bytes})
		for i := range n {
			b.IDs[at] = e.IDs[i]
			if e.Mask[i+1] {
				b.Labels[at] = e.IDs[i+1]
				b.Supervised[content.lang]++
			}
			b.DocStart[at], b.DocEnd[at], b.Pos[at] = uint32(start), uint32(start+n), uint32(i)
			at++
		}
		b.Tokens[content.lang] += n
		b.Bytes[content.lang] += e.Bytes
	}
}

// Evaluation divides examples, language by language, into batches of one shape that
// hold each example exactly once; unused rows of the last are padding.
type Evaluation struct {
	langs        []Examples
	rows, seqLen int
	all          []evalRow
	packed       []*packing
}

// evalRow is a row of a language's packing.
type evalRow struct{ lang, row int }

// NewEvaluation packs the examples of each language into batches of rows × seqLen. It
// fails if an example does not fit a row.
func NewEvaluation(langs []Examples, rows, seqLen int) (*Evaluation, error) {
	e := &Evaluation{langs: langs, rows: rows, seqLen: seqLen}
	for m, examples := range langs {
		if err := checkLengths("evaluation", examples, seqLen); err != nil {
			return nil, err
		}
		if examples == nil {
			examples = List{}
		}
		p := pack(examples, seqLen)
		e.packed = append(e.packed, p)
		for r := range p.rows() {
			e.all = append(e.all, evalRow{m, r})
		}
	}
	return e, nil
}

// Len is the number of batches; an evaluation that is not there has none.
func (e *Evaluation) Len() int {
	if e == nil {
		return 0
	}
	return (len(e.all) + e.rows - 1) / e.rows
}

// Batch reads batch i. Where examples cannot be read it says so in Err.
func (e *Evaluation) Batch(i int) *Batch {
	var rows []row
	var failed error
	for _, at := range e.all[i*e.rows : min((i+1)*e.rows, len(e.all))] {
		r := row{lang: at.lang}
		p := e.packed[at.lang]
		for _, slot := range p.row(at.row) {
			x, err := e.langs[at.lang].At(int(p.order[slot]))
			failed = cmp.Or(failed, err)
			if err == nil {
				r.examples, r.index = append(r.examples, x), append(r.index, int(p.order[slot]))
			}
		}
		rows = append(rows, r)
	}
	b := newBatch(rows, e.rows, e.seqLen, len(e.langs))
	b.Err = failed
	return b
}

// BitsPerByte is the loss per UTF-8 byte: nll is the sum, in nats, over the
// supervised tokens, EOS included. NaN without bytes.
func BitsPerByte(nll float64, bytes int) float64 {
	if bytes == 0 {
		return math.NaN()
	}
	return nll / (math.Ln2 * float64(bytes))
}
