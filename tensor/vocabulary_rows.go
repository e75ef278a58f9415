package tensor

// Where tokens are many, the products between all of them cost more than the rows of a
// Vocabulary's matrices: these are then made for some of the vocabulary at a time, one part in
// the place of another, and the Grams of the parts add up.

// AddVocabularyRows adds the Gram of v's matrices, (vocab, C), as Add of all their rows does,
// through part, memory for part.R rows of each matrix, a multiple of PartRows if they are fewer
// than vocab. s and gs are scratch, gs for rows of part.R*part.LD values.
func (g *GramSum) AddVocabularyRows(v Vocabulary, vocab int, seg Segments, part TaskGrads, s VocabularyScratch, gs GramScratch) {
	e, first := g.e, len(g.parts)
	if v.Head != nil {
		n := seg.Starts[g.m]
		e.Upload(s.weights.head(n), ones(n))
	}
	for lo := 0; lo < vocab; lo += part.R {
		rows := part
		if left := vocab - lo; left < part.R {
			rows.R, rows.Stride = left, alignUp(left*part.LD, blockUnit)
		}
		if part.C != part.LD && (lo == 0 || rows.R < part.R) { // the padding counts as values that are 0
			e.Dev.Zero(rows.View())
		}
		if v.Head != nil {
			v.Head.eachLogits(lo, lo+rows.R, s.weights, func(at int, z Tensor) {
				e.MatMulSegmented(rows.rowRange(at-lo, at-lo+z.C), z, v.Head.X, seg, false)
			})
		}
		if v.Ids != nil {
			e.EmbeddingBackwardPart(rows, lo, v.Ids.D, v.Ids.Parts, v.Head != nil)
		}
		if lo == 0 || rows.R < part.R {
			g.Add(rows, gs)
		} else {
			g.addTo(first, rows, gs)
		}
	}
}

// VocabularyRowSums is the memory that AddVocabularyRows takes of a GramSums, for m segments and
// parts of so many rows of ld values.
func (e *Engine) VocabularyRowSums(m, vocab, rows, ld int) int64 {
	return e.GramSumBytes(m, rows*ld) + e.GramSumBytes(m, vocab%rows*ld)
}

// addTo is Add whose sums are added to those of g's part number first and the ones after it, which
// are of as many rows: their number would grow with the vocabulary.
func (g *GramSum) addTo(first int, rows TaskGrads, s GramScratch) {
	rows = rows.vectors()
	at := int64(0)
	for _, p := range g.parts[:first] {
		at += p.bytes
	}
	for i, c := range g.e.flatCuts(rows.LD, blockUnit) {
		part := rows.columns(c[0], c[1])
		sums := g.e.gramRecord(part, s, g.e.gramPlan(part), Tensor{})
		n := int(F32.Elements(sums.Size))
		for _, c := range g.e.flatCuts(n, blockUnit) {
			to := span(Tensor{Buf: g.to.t.Buf, Offset: g.to.t.Offset + at, R: 1}, c[0], c[1])
			g.e.Add(to, to, span(Tensor{Buf: sums.Buf, Offset: sums.Offset, R: 1}, c[0], c[1]))
		}
		at += g.parts[first+i].bytes
	}
}

// VocabularyCost compares the two ways to the Gram of a Vocabulary of matrices (r, c), for n
// tokens and m objectives: by products between tokens, and by rows, which make each part's
// gradients once more, write them and read them for the Gram.
func VocabularyCost(n, r, c, m int) (tokens, rows Cost) {
	nf, rf, cf, mf := float64(n), float64(r), float64(c), float64(m)
	size := float64(F32.Bytes(1))
	tokens = Cost{FLOPs: 2*nf*nf*rf + 6*nf*nf*cf, Bytes: size * nf * rf}
	rows = Cost{FLOPs: 2*nf*rf*cf + mf*(mf+1)*rf*cf, Bytes: size * (nf*rf + 2*mf*rf*cf)}
	return tokens, rows
}
