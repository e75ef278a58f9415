package tokenizer

import (
	"container/heap"
	"fmt"
	"strings"
	"sync"
	"unicode/utf8"
)

// noToken marks an absent id.
const noToken = ^uint32(0)

// pair is two adjacent token ids, left in the high half.
type pair uint64

func pairOf(a, b uint32) pair { return pair(a)<<32 | pair(b) }

// merge is the token that a pair becomes, and how early.
type merge struct{ rank, id uint32 }

// bpe is the model: symbols of a piece are merged, lowest rank first and
// leftmost among equals, until no adjacent pair is in merges
// (https://aclanthology.org/P16-1162). Safe for concurrent use.
type bpe struct {
	vocab        map[string]uint32
	merges       map[pair]merge
	unk          string // unknown token, "" = none
	fuseUnk      bool
	byteFallback bool
	ignoreMerges bool

	byteLevel bool              // pieces are raw bytes, spelt by byteRunes
	byteIDs   [256]uint32       // byteLevel: the token of each byte
	runeIDs   map[rune]uint32   // otherwise: the tokens of one rune
	whole     map[string]uint32 // ignoreMerges: whole piece → token
	fallback  [256]uint32       // byteFallback: the tokens <0x00> … <0xFF>

	mu    sync.RWMutex
	cache map[string][]symbol
}

// symbol is a token in the making, and the number of bytes of the piece that it
// stands for.
type symbol struct {
	id    uint32
	width int32
}

const (
	maxCacheEntries = 1 << 16 // pieces kept
	maxCachePiece   = 64      // bytes of the longest piece kept
	scanSymbols     = 24      // up to here a plain scan beats the heap
)

// index builds the lookup tables once vocab, merges and options are set.
func (m *bpe) index(byteLevel bool) {
	m.byteLevel = byteLevel
	m.cache = map[string][]symbol{}
	m.runeIDs = map[rune]uint32{}
	for i := range 256 {
		m.byteIDs[i] = m.lookup(string(byteRunes[i]))
		m.fallback[i] = m.lookup(fmt.Sprintf("<0x%02X>", i))
	}
	if m.ignoreMerges {
		m.whole = m.vocab
	}
	if byteLevel && m.ignoreMerges {
		m.whole = make(map[string]uint32, len(m.vocab))
	}
	for token, id := range m.vocab {
		if r, w := utf8.DecodeRuneInString(token); w > 0 && w == len(token) {
			m.runeIDs[r] = id
		}
		if byteLevel && m.ignoreMerges {
			if raw, ok := bytesOf(token); ok {
				m.whole[string(raw)] = id
			}
		}
	}
}

func (m *bpe) lookup(token string) uint32 {
	if id, ok := m.vocab[token]; ok {
		return id
	}
	return noToken
}

// encode adds the tokens of one pre-tokenized piece. With byteLevel, it is raw
// text; its byte spelling is implied. It fails only for text that the
// vocabulary cannot express.
func (m *bpe) encode(out *output, v view) error {
	piece := v.text
	if m.ignoreMerges {
		if id, ok := m.whole[piece]; ok {
			out.token(id, v)
			return nil
		}
	}
	short := len(piece) <= maxCachePiece
	if short {
		m.mu.RLock()
		symbols, ok := m.cache[piece]
		m.mu.RUnlock()
		if ok {
			out.symbols(v, symbols)
			return nil
		}
	}
	symbols, err := m.symbols(piece)
	if err != nil {
		return err
	}
	symbols = m.mergeAll(symbols)
	if short {
		m.mu.Lock()
		if len(m.cache) < maxCacheEntries {
			m.cache[strings.Clone(piece)] = append([]symbol(nil), symbols...)
		}
		m.mu.Unlock()
	}
	out.symbols(v, symbols)
	return nil
}

// symbols returns the token of every character of a piece. A character that
// is not in the vocabulary becomes its bytes' tokens where byteFallback is set
// and all exist, else the unknown token. As in the reference implementation an
// unknown token waits for the next known character, so it moves behind byte
// tokens that come in between.
func (m *bpe) symbols(piece string) ([]symbol, error) {
	out := make([]symbol, 0, len(piece))
	waiting := symbol{id: noToken}
	for i, w := 0, 1; i < len(piece); i += w {
		id := noToken
		if m.byteLevel {
			w, id = 1, m.byteIDs[piece[i]]
		} else {
			var r rune
			var ok bool
			r, w = utf8.DecodeRuneInString(piece[i:])
			if id, ok = m.runeIDs[r]; !ok {
				id = noToken
			}
		}
		if id != noToken {
			if waiting.id != noToken {
				out, waiting = append(out, waiting), symbol{id: noToken}
			}
			out = append(out, symbol{id, int32(w)})
			continue
		}
		char := piece[i : i+w]
		if m.byteLevel {
			char = string(byteRunes[piece[i]])
		}
		if with, ok := m.fallbackBytes(out, char, w); ok {
			out = with
			continue
		}
		unk, ok := m.vocab[m.unk]
		if m.unk == "" || !ok {
			return nil, fmt.Errorf("%q is not in the vocabulary and there is no unknown token", char)
		}
		if waiting.id != noToken && !m.fuseUnk {
			out, waiting = append(out, waiting), symbol{}
		}
		waiting = symbol{unk, waiting.width + int32(w)}
	}
	if waiting.id != noToken {
		out = append(out, waiting)
	}
	return out, nil
}

// fallbackBytes appends the byte tokens of char, which is width bytes of the
// piece, if enabled and all present.
func (m *bpe) fallbackBytes(dst []symbol, char string, width int) ([]symbol, bool) {
	if !m.byteFallback {
		return dst, false
	}
	n := len(dst)
	for i := range len(char) {
		id := m.fallback[char[i]]
		if id == noToken {
			return dst[:n], false
		}
		dst = append(dst, symbol{id, int32(min(1, max(0, width-i)))})
	}
	return dst, true
}

// mergeAll merges symbols in place and returns the rest.
func (m *bpe) mergeAll(symbols []symbol) []symbol {
	if len(symbols) <= scanSymbols {
		return m.mergeScan(symbols)
	}
	return m.mergeHeap(symbols)
}

// mergeScan looks for the best pair again after each merge: O(n²), for words.
func (m *bpe) mergeScan(s []symbol) []symbol {
	for len(s) > 1 {
		best, at := merge{rank: noToken}, -1
		for i := range len(s) - 1 {
			if c, ok := m.merges[pairOf(s[i].id, s[i+1].id)]; ok && c.rank < best.rank {
				best, at = c, i
			}
		}
		if at < 0 {
			break
		}
		s[at] = symbol{best.id, s[at].width + s[at+1].width}
		s = append(s[:at+1], s[at+2:]...)
	}
	return s
}

// candidate is a possible merge of the symbol at pos with its successor.
type candidate struct {
	merge
	pos int32
}

// candidates is a min-heap by rank, then position.
type candidates []candidate

func (h candidates) Len() int { return len(h) }
func (h candidates) Less(i, j int) bool {
	if h[i].rank != h[j].rank {
		return h[i].rank < h[j].rank
	}
	return h[i].pos < h[j].pos
}
func (h candidates) Swap(i, j int) { h[i], h[j] = h[j], h[i] }
func (h *candidates) Push(x any)   { *h = append(*h, x.(candidate)) }
func (h *candidates) Pop() any {
	old := *h
	x := old[len(old)-1]
	*h = old[:len(old)-1]
	return x
}

// mergeHeap is O(n log n): sentencepiece-style models have no word split, so a
// piece may be a whole document. Symbols form a linked list in s; a merged-away
// symbol is noToken.
func (m *bpe) mergeHeap(s []symbol) []symbol {
	n := int32(len(s))
	next, prev := make([]int32, n), make([]int32, n)
	h := make(candidates, 0, n)
	for i := range n {
		next[i], prev[i] = i+1, i-1
		if i+1 < n {
			if c, ok := m.merges[pairOf(s[i].id, s[i+1].id)]; ok {
				h = append(h, candidate{c, i})
			}
		}
	}
	heap.Init(&h)
	offer := func(i, j int32) {
		if c, ok := m.merges[pairOf(s[i].id, s[j].id)]; ok {
			heap.Push(&h, candidate{c, i})
		}
	}
	for len(h) > 0 {
		top := heap.Pop(&h).(candidate)
		i := top.pos
		j := next[i]
		if s[i].id == noToken || j >= n {
			continue
		}
		// The entry is stale when either symbol has changed since.
		if c, ok := m.merges[pairOf(s[i].id, s[j].id)]; !ok || c != top.merge {
			continue
		}
		s[i], s[j] = symbol{top.id, s[i].width + s[j].width}, symbol{id: noToken}
		next[i] = next[j]
		if next[i] < n {
			prev[next[i]] = i
			offer(i, next[i])
		}
		if prev[i] >= 0 {
			offer(prev[i], i)
		}
	}
	out := s[:0]
	for _, x := range s {
		if x.id != noToken {
			out = append(out, x)
		}
	}
	return out
}
