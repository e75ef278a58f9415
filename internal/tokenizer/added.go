package tokenizer

import (
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"
)

// addedToken is one entry of added_tokens.
type addedToken struct {
	id                         uint32
	content                    string
	singleWord, lstrip, rstrip bool
	normalized, special        bool
}

// addedTokens are the tokens that are cut out of a text before BPE sees it.
type addedTokens struct {
	byID     map[uint32]addedToken
	ids      map[string]uint32
	spelling map[uint32]string // the text that decoding sees, where normalising changed it
	specials map[string]bool   // contents of the special ones
	exact    *matcher          // normalized=false: matched in the raw text
	normal   *matcher          // normalized=true: matched after normalising, by normalised content
}

// newAddedTokens builds the matchers.
func newAddedTokens(tokens []addedToken, norm []normalizer) *addedTokens {
	a := &addedTokens{
		byID:     map[uint32]addedToken{},
		ids:      map[string]uint32{},
		spelling: map[uint32]string{},
		specials: map[string]bool{},
		exact:    newMatcher(),
		normal:   newMatcher(),
	}
	for _, t := range tokens {
		a.byID[t.id] = t
		a.ids[t.content] = t.id
		if t.special {
			a.specials[t.content] = true
		}
	}
	for _, id := range sortedIDs(a.byID) {
		t := a.byID[id]
		if !t.normalized {
			a.exact.add(t.content, t)
			continue
		}
		content := normalizeAll(view{text: t.content}, norm).text
		if content != t.content {
			a.spelling[id] = content
		}
		a.normal.add(content, t)
	}
	return a
}

func sortedIDs(m map[uint32]addedToken) []uint32 {
	ids := make([]uint32, 0, len(m))
	for id := range m {
		ids = append(ids, id)
	}
	slices.Sort(ids)
	return ids
}

// matcher finds added tokens, leftmost-longest, with a byte trie. Trying the
// trie at each position is linear in practice: tokens are short, and their
// first bytes are checked in a table.
type matcher struct {
	nodes []trieNode
	first [256]bool
}

type trieNode struct {
	next  map[byte]int32
	token *addedToken
}

func newMatcher() *matcher { return &matcher{nodes: make([]trieNode, 1)} }

// add registers content; an empty one matches nothing.
func (m *matcher) add(content string, t addedToken) {
	if content == "" {
		return
	}
	m.first[content[0]] = true
	at := int32(0)
	for i := range len(content) {
		if m.nodes[at].next == nil {
			m.nodes[at].next = map[byte]int32{}
		}
		next, ok := m.nodes[at].next[content[i]]
		if !ok {
			next = int32(len(m.nodes))
			m.nodes = append(m.nodes, trieNode{})
			m.nodes[at].next[content[i]] = next
		}
		at = next
	}
	m.nodes[at].token = &t
}

// longest returns the longest token that starts at s[i] and its end, or nil.
func (m *matcher) longest(s string, i int) (token *addedToken, end int) {
	at, ok := int32(0), true
	for j := i; j < len(s); j++ {
		if at, ok = m.nodes[at].next[s[j]]; !ok {
			break
		}
		if t := m.nodes[at].token; t != nil {
			token, end = t, j+1
		}
	}
	return token, end
}

// segment is a stretch of text, or an added token.
type segment struct {
	view
	token uint32 // noToken: text
	first bool   // begins at the beginning of the text that was cut
}

// cut divides v into added tokens and the text between them. Empty text is
// left out. A match that single_word rejects is passed over whole, as in the
// reference implementation.
func (m *matcher) cut(v view) []segment {
	s := v.text
	if len(s) == 0 {
		return nil
	}
	if len(m.nodes) == 1 {
		return []segment{{view: v, token: noToken, first: true}}
	}
	var out []segment
	done := 0
	for i := 0; i < len(s); {
		if !m.first[s[i]] {
			i++
			continue
		}
		t, end := m.longest(s, i)
		if t == nil {
			i++
			continue
		}
		start := i
		i = end
		if t.singleWord && (endsWithWord(s[:start]) || startsWithWord(s[end:])) {
			continue
		}
		if t.lstrip {
			start = max(done, len(strings.TrimRightFunc(s[:start], unicode.IsSpace)))
		}
		if t.rstrip {
			end = len(s) - len(strings.TrimLeftFunc(s[end:], unicode.IsSpace))
		}
		if done < start {
			out = append(out, segment{view: v.cut(done, start), token: noToken, first: done == 0})
		}
		out = append(out, segment{view: v.cut(start, end), token: t.id})
		done = end
	}
	if done < len(s) {
		out = append(out, segment{view: v.cut(done, len(s)), token: noToken, first: done == 0})
	}
	return out
}

func startsWithWord(s string) bool {
	r, w := utf8.DecodeRuneInString(s)
	return w > 0 && isWord(r)
}

func endsWithWord(s string) bool {
	r, w := utf8.DecodeLastRuneInString(s)
	return w > 0 && isWord(r)
}

// isWord is \w of Unicode TR18: alphabetic, mark, decimal number, connector
// punctuation, join control.
func isWord(r rune) bool {
	return unicode.IsLetter(r) || unicode.IsMark(r) || unicode.Is(unicode.Nd, r) || unicode.Is(unicode.Nl, r) ||
		unicode.Is(unicode.Pc, r) || unicode.Is(unicode.Other_Alphabetic, r) || unicode.Is(unicode.Join_Control, r)
}
