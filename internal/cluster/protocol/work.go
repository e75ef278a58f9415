package protocol

// Work describes a step's batch, row by row: the gradient row that a
// batch row belongs to (its language, or half-language), ascending, its language
// and its supervised tokens.
type Work struct {
	Segment, Lang, Tokens []int
	Segments, Langs       int
	// Local: every machine resolves its own languages and sends one gradient, in
	// the one segment that there is. The part that counted is then one of all tokens.
	Local bool
	// Whole: a machine has one row for all of its segments: the change of its
	// steps. It is sent once and counts for each by its part of the tokens.
	Whole bool
}

// Share is the rows [From, To) of a step's batch that a worker computes.
type Share struct {
	Worker   uint32 `json:"worker"`
	From, To int
}

// Size is how many rows it is.
func (s Share) Size() int { return s.To - s.From }

// SegmentTokens are the gradient rows that a share has tokens of, with their tokens.
func (w Work) SegmentTokens(s Share) map[int]int {
	out := map[int]int{}
	for r := s.From; r < s.To; r++ {
		if w.Tokens[r] > 0 {
			out[w.Segment[r]] += w.Tokens[r]
		}
	}
	return out
}

// PartTokens are the gradient rows that a share's machine sends, with the tokens that
// they are of: its segments, or one for all of them, which has the first's number.
func (w Work) PartTokens(s Share) map[int]int {
	segments := w.SegmentTokens(s)
	if !w.Whole || len(segments) == 0 {
		return segments
	}
	first, sum := len(w.Segment), 0
	for seg, tokens := range segments {
		first, sum = min(first, seg), sum+tokens
	}
	return map[int]int{first: sum}
}

// LangTokens are the supervised tokens by language.
func (w Work) LangTokens() []int {
	out := make([]int, w.Langs)
	for r, n := range w.Tokens {
		out[w.Lang[r]] += n
	}
	return out
}

// Languages is how many gradient rows each share sends.
func (w Work) Languages(shares []Share) (out []int) {
	for _, s := range shares {
		out = append(out, len(w.SegmentTokens(s)))
	}
	return out
}

// SegmentLangs is the language of every segment.
func (w Work) SegmentLangs() []int {
	out := make([]int, w.Segments)
	for r, seg := range w.Segment {
		out[seg] = w.Lang[r]
	}
	return out
}

// Total is the sum of x.
func Total(x []int) (sum int) {
	for _, n := range x {
		sum += n
	}
	return sum
}
