package tokenizer

import (
	"bytes"
	"container/heap"
	"encoding/json"
	"fmt"
	"iter"
	"slices"
)

// TrainOptions configures Train. The zero value of each field is usable except
// VocabSize.
type TrainOptions struct {
	// VocabSize is the number of tokens: 256 bytes, the merges, the specials.
	VocabSize int
	// Specials are added tokens that BPE never sees, for example BOSToken and
	// EOSToken. They get the last ids, in this order.
	Specials []string
	// Pattern is the pre-tokenizer: PatternGPT2 ("" too), PatternLlama3,
	// PatternQwen2 or PatternQwen35. No merge crosses a piece boundary.
	Pattern string
	// MinCount is the least number of occurrences of a pair worth a token; 0 = 1.
	MinCount int
}

// Train learns a byte-level BPE from texts, each an independent text: the
// most frequent pair of adjacent tokens becomes a token, until VocabSize is
// reached. Equal counts are decided by the lower left, then lower right id, so
// the result depends on the multiset of texts only, not on their order.
//
// Ids 0 … 255 are the single bytes in the order of the GPT-2 table (! to ~
// first), then the merges in order, then the specials. Text is not normalised.
// Memory is proportional to the number of different pieces.
//
// It fails if a text is not valid UTF-8, an option is unusable, or the texts do
// not hold enough pairs for VocabSize.
func Train(texts iter.Seq[string], o TrainOptions) (*Tokenizer, error) {
	scan, err := o.check()
	if err != nil {
		return nil, err
	}
	counts, err := countPieces(texts, scan)
	if err != nil {
		return nil, err
	}
	l := newLearner(counts)
	want := o.VocabSize - len(o.Specials)
	for len(l.tokens) < want {
		if !l.step(int64(max(o.MinCount, 1))) {
			return nil, fmt.Errorf("tokenizer: train: the texts hold enough repeated pairs for %d tokens only, VocabSize asks "+
				"for %d: use more text or a smaller vocabulary",
				len(l.tokens)+len(o.Specials), o.VocabSize)
		}
	}
	data, err := l.marshal(o)
	if err != nil {
		return nil, err
	}
	return Parse(data)
}

// check validates the options and returns the pre-tokenizer's scanner.
func (o *TrainOptions) check() (scanner, error) {
	if o.Pattern == "" {
		o.Pattern = PatternGPT2
	}
	scan := scannerFor(o.Pattern)
	if scan == nil {
		return nil, fmt.Errorf("tokenizer: train: unknown pattern %q: use one of the package's Pattern constants", o.Pattern)
	}
	if least := 256 + len(o.Specials); o.VocabSize < least || o.VocabSize > maxID {
		return nil, fmt.Errorf("tokenizer: train: VocabSize %d: want %d (256 bytes and the specials) to %d", o.VocabSize, least, maxID)
	}
	for i, s := range o.Specials {
		if s == "" || invalidUTF8(s) >= 0 || slices.Contains(o.Specials[:i], s) {
			return nil, fmt.Errorf("tokenizer: train: special token %d %q is empty, repeated or not UTF-8", i, s)
		}
	}
	return scan, nil
}

// countPieces counts the different pieces of all texts.
func countPieces(texts iter.Seq[string], scan scanner) (map[string]int64, error) {
	counts := map[string]int64{}
	n := 0
	for text := range texts {
		if i := invalidUTF8(text); i >= 0 {
			return nil, fmt.Errorf("tokenizer: train: text %d is not valid UTF-8 at byte %d (0x%02x)", n, i, text[i])
		}
		for i := 0; i < len(text); {
			end := scan(text, i)
			counts[text[i:end]]++
			i = end
		}
		n++
	}
	return counts, nil
}

// learner holds every different piece as a list of token ids, and for each
// adjacent pair how often it occurs and in which pieces, so that a merge costs
// only the pieces it changes.
type learner struct {
	tokens []string          // by id, raw bytes
	ids    map[string]uint32 // inverse of tokens
	merges []pair
	words  [][]uint32
	counts []int64 // per word
	pairs  map[pair]*pairStat
	queue  pairQueue
}

// pairStat counts one pair. words lists the pieces that held it at some time.
type pairStat struct {
	count int64
	words []int32
}

func newLearner(pieces map[string]int64) *learner {
	l := &learner{ids: map[string]uint32{}, pairs: map[pair]*pairStat{}}
	var byteID [256]uint32
	for i, b := range alphabet() {
		byteID[b] = uint32(i)
		l.tokens = append(l.tokens, string([]byte{b}))
		l.ids[string([]byte{b})] = uint32(i)
	}
	for piece, n := range pieces {
		word := make([]uint32, len(piece))
		for i := range len(piece) {
			word[i] = byteID[piece[i]]
		}
		at := int32(len(l.words))
		l.words, l.counts = append(l.words, word), append(l.counts, n)
		for i := range len(word) - 1 {
			l.change(pairOf(word[i], word[i+1]), n, at)
		}
	}
	for p, s := range l.pairs {
		l.queue = append(l.queue, queued{s.count, p})
	}
	heap.Init(&l.queue)
	return l
}

// change adds n to the count of p, and word to its pieces when n is positive.
func (l *learner) change(p pair, n int64, word int32) {
	s := l.pairs[p]
	if s == nil {
		s = &pairStat{}
		l.pairs[p] = s
	}
	s.count += n
	if n > 0 && (len(s.words) == 0 || s.words[len(s.words)-1] != word) {
		s.words = append(s.words, word)
	}
}

// step learns one merge. It reports false when no pair occurs minCount times.
func (l *learner) step(minCount int64) bool {
	for len(l.queue) > 0 {
		top := heap.Pop(&l.queue).(queued)
		now := l.pairs[top.pair].count
		if now <= 0 {
			continue
		}
		if now != top.count {
			heap.Push(&l.queue, queued{now, top.pair})
			continue
		}
		if now < minCount {
			return false
		}
		l.merge(top.pair)
		return true
	}
	return false
}

// merge replaces p by one token everywhere. Two merges may spell the same
// token; then the second reuses its id and the vocabulary does not grow.
func (l *learner) merge(p pair) {
	a, b := uint32(p>>32), uint32(p)
	token := l.tokens[a] + l.tokens[b]
	id, ok := l.ids[token]
	if !ok {
		id = uint32(len(l.tokens))
		l.ids[token] = id
		l.tokens = append(l.tokens, token)
	}
	l.merges = append(l.merges, p)
	stat := l.pairs[p]
	delete(l.pairs, p)
	grown := map[pair]bool{}
	for _, w := range stat.words {
		l.mergeWord(w, a, b, id, grown)
	}
	// The pair itself is gone, whatever its neighbours' bookkeeping left.
	l.pairs[p] = &pairStat{}
	for q := range grown {
		if s := l.pairs[q]; s.count > 0 {
			heap.Push(&l.queue, queued{s.count, q})
		}
	}
}

// mergeWord merges a b into id in one piece, left to right, and keeps the pair
// counts exact after every single merge. Pairs that gained go to grown.
func (l *learner) mergeWord(w int32, a, b, id uint32, grown map[pair]bool) {
	word, n := l.words[w], l.counts[w]
	out := word[:0]
	for i := 0; i < len(word); i++ {
		if i+1 == len(word) || word[i] != a || word[i+1] != b {
			out = append(out, word[i])
			continue
		}
		if k := len(out); k > 0 {
			prev := out[k-1]
			l.change(pairOf(prev, a), -n, w)
			l.change(pairOf(prev, id), n, w)
			grown[pairOf(prev, id)] = true
		}
		if i+2 < len(word) {
			next := word[i+2]
			l.change(pairOf(b, next), -n, w)
			l.change(pairOf(id, next), n, w)
			grown[pairOf(id, next)] = true
		}
		out = append(out, id)
		i++
	}
	l.words[w] = out
}

// queued is a pair with the count it had when queued; a stale one is put back.
type queued struct {
	count int64
	pair  pair
}

// pairQueue is a heap with the highest count, then the lowest ids, on top.
type pairQueue []queued

func (q pairQueue) Len() int { return len(q) }
func (q pairQueue) Less(i, j int) bool {
	if q[i].count != q[j].count {
		return q[i].count > q[j].count
	}
	return q[i].pair < q[j].pair
}
func (q pairQueue) Swap(i, j int) { q[i], q[j] = q[j], q[i] }
func (q *pairQueue) Push(x any)   { *q = append(*q, x.(queued)) }
func (q *pairQueue) Pop() any {
	old := *q
	x := old[len(old)-1]
	*q = old[:len(old)-1]
	return x
}

// marshal writes the tokenizer.json.
func (l *learner) marshal(o TrainOptions) ([]byte, error) {
	type object map[string]any
	byteLevel := func(useRegex bool) object {
		return object{"type": "ByteLevel", "add_prefix_space": false, "trim_offsets": true, "use_regex": useRegex}
	}
	pre := byteLevel(true)
	if o.Pattern != PatternGPT2 {
		pre = object{"type": "Sequence", "pretokenizers": []any{
			object{"type": "Split", "pattern": object{"Regex": o.Pattern}, "behavior": "Isolated", "invert": false},
			byteLevel(false),
		}}
	}
	spell := func(id uint32) string { return string(appendByteRunes(nil, l.tokens[id])) }
	merges := make([]string, len(l.merges))
	for i, p := range l.merges {
		merges[i] = spell(uint32(p>>32)) + " " + spell(uint32(p))
	}
	vocab := make(map[string]int, len(l.tokens))
	for id := range l.tokens {
		vocab[spell(uint32(id))] = id
	}
	added := make([]any, len(o.Specials))
	for i, s := range o.Specials {
		added[i] = object{"id": len(l.tokens) + i, "content": s, "single_word": false, "lstrip": false,
			"rstrip": false, "normalized": false, "special": true}
		if _, taken := vocab[s]; taken {
			return nil, fmt.Errorf("tokenizer: train: special token %q is also a learnt token: remove it from the texts", s)
		}
	}
	var out bytes.Buffer
	enc := json.NewEncoder(&out)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", " ")
	err := enc.Encode(object{
		"version": "1.0", "truncation": nil, "padding": nil, "added_tokens": added, "normalizer": nil,
		"pre_tokenizer": pre, "post_processor": nil, "decoder": byteLevel(true),
		"model": object{"type": "BPE", "dropout": nil, "unk_token": nil, "continuing_subword_prefix": nil,
			"end_of_word_suffix": nil, "fuse_unk": false, "byte_fallback": false, "ignore_merges": false,
			"vocab": vocab, "merges": merges},
	})
	if err != nil {
		return nil, fmt.Errorf("tokenizer: train: %w", err)
	}
	return out.Bytes(), nil
}
