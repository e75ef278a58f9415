// Package lint looks for faults of training data before it is trained on:
// texts that are there twice, nearly twice or in the held-out set too, empty and cut-off
// answers, damaged characters, another script than the language's, conversations whose
// turns are out of order. Documents come once (Add), and those that may be nearly the
// same once more (Finish). Everything is a function of the documents and their order.
//
// In memory are about 130 bytes a document.
package lint

import (
	"cmp"
	"fmt"
	"slices"

	"concord/internal/data"
	"concord/internal/neardup"
)

// Kinds of findings, by which they can be allowed.
const (
	Leak      = "leak"      // held-out text that is trained on
	Duplicate = "duplicate" // the same document twice in a language
	Across    = "across"    // the same document in two languages
	Near      = "near"      // nearly the same document in one language or in two
	Empty     = "empty"     // no answer, or no text
	TooLong   = "too-long"
	Damaged   = "damaged" // characters that are no text
	Script    = "script"  // another script than the rest of the language
	Roles     = "roles"   // turns out of order
	CutOff    = "cut-off" // answers that seem to end early
	Run       = "run"     // unusual things about the run
)

// Kinds are all of them.
func Kinds() []string {
	return []string{Leak, Duplicate, Across, Near, Empty, TooLong, Damaged, Script, Roles, CutOff, Run}
}

// Finding is one fault of a language's data.
type Finding struct {
	Kind     string   `json:"kind"`
	Lang     string   `json:"lang,omitempty"`
	Count    int      `json:"count,omitempty"` // documents
	Of       int      `json:"of,omitempty"`
	Text     string   `json:"text"`
	Examples []string `json:"examples,omitempty"` // file:line
	Fix      string   `json:"fix"`
}

// Options of a Linter.
type Options struct {
	Near float64 // Jaccard similarity from which texts are nearly the same
	Room int     // documents that are compared for that; further ones are not, which is said
}

// examples is how many places a finding names.
const examples = 3

// place is where a document stands, and the facts known of it.
type place struct {
	content    uint64
	line       uint32
	near       int32 // number in the index, −1 for none
	file, lang uint16
	held       bool
	script     script
	open       bool // the answer is long and ends in the middle of a sentence
	long       bool // the answer is long
}

// Linter takes documents. Not safe for concurrent use.
type Linter struct {
	opt    Options
	files  []string
	langs  []string
	docs   []place
	index  *neardup.Index
	byNear []int32 // document of each number in the index
	faults map[[2]string]*Finding
	order  [][2]string
	count  map[string]int // documents by language
}

// New makes a linter.
func New(opt Options) *Linter {
	return &Linter{opt: opt, index: neardup.New(opt.Room), faults: map[[2]string]*Finding{}, count: map[string]int{}}
}

// Add looks at the next document.
func (l *Linter) Add(d *data.Inspected) {
	p := place{content: d.Content, line: uint32(d.Line), file: number(&l.files, d.File), lang: number(&l.langs, d.Lang),
		held: d.Held, near: -1}
	l.count[d.Lang]++
	l.docs = append(l.docs, p)
	at := len(l.docs) - 1
	l.texts(d, at)
	if d.TooLong {
		l.note(TooLong, at, "longer than a row", "a larger batch.seq_len, or data.overlong = \"split\" or \"truncate\"")
	}
	if near := l.index.Add(d.Given + "\n" + d.Learnt); near >= 0 {
		l.docs[at].near = int32(near)
		l.byNear = append(l.byNear, int32(at))
	}
}

// number is a name's place in a list, which it is added to.
func number(list *[]string, name string) uint16 {
	for i := len(*list) - 1; i >= 0; i-- {
		if (*list)[i] == name {
			return uint16(i)
		}
	}
	*list = append(*list, name)
	return uint16(len(*list) - 1)
}

// where names a document's place.
func (l *Linter) where(at int) string {
	d := l.docs[at]
	return fmt.Sprintf("%s:%d", l.files[d.file], d.line)
}

// note counts a fault of a document.
func (l *Linter) note(kind string, at int, text, fix string) {
	l.noteAt(kind, at, l.where(at), text, fix)
}

func (l *Linter) noteAt(kind string, at int, example, text, fix string) {
	lang := l.langs[l.docs[at].lang]
	key := [2]string{lang, kind + text}
	f := l.faults[key]
	if f == nil {
		f = &Finding{Kind: kind, Lang: lang, Text: text, Fix: fix}
		l.faults[key], l.order = f, append(l.order, key)
	}
	if f.Count++; len(f.Examples) < examples {
		f.Examples = append(f.Examples, example)
	}
}

// Finish compares the documents with each other and returns all findings. read gives
// the documents once more, in the order of Add.
func (l *Linter) Finish(read func(yield func(*data.Inspected) error) error) ([]Finding, error) {
	l.same()
	if err := l.alike(read); err != nil {
		return nil, err
	}
	l.against()
	out := make([]Finding, 0, len(l.order))
	for _, key := range l.order {
		f := *l.faults[key]
		f.Of = l.count[f.Lang]
		out = append(out, f)
	}
	kinds := Kinds()
	slices.SortStableFunc(out, func(a, b Finding) int {
		return cmp.Or(cmp.Compare(slices.Index(kinds, a.Kind), slices.Index(kinds, b.Kind)), cmp.Compare(a.Lang, b.Lang))
	})
	return out, nil
}

// same finds documents whose whole text is there before.
func (l *Linter) same() {
	order := make([]int32, len(l.docs))
	for i := range order {
		order[i] = int32(i)
	}
	slices.SortFunc(order, func(a, b int32) int {
		return cmp.Or(cmp.Compare(l.docs[a].content, l.docs[b].content), cmp.Compare(a, b))
	})
	type repeat struct{ at, first int }
	var all []repeat
	for i := 0; i < len(order); {
		end := i + 1
		for end < len(order) && l.docs[order[end]].content == l.docs[order[i]].content {
			end++
		}
		for k := i + 1; k < end; k++ {
			all = append(all, repeat{int(order[k]), l.partner(order[i:end], k-i)})
		}
		i = end
	}
	slices.SortFunc(all, func(a, b repeat) int { return cmp.Compare(a.at, b.at) })
	for _, r := range all {
		l.pair(r.at, r.first, 1)
		l.docs[r.at].near = -1 // not again as nearly the same
	}
}

// partner is the document that the k-th of equal ones is told with: of the other half of
// the data before one of the same, of the same language before one of another.
func (l *Linter) partner(equal []int32, k int) int {
	d := l.docs[equal[k]]
	best, rank := int(equal[0]), -1
	for _, i := range equal[:k] {
		e, r := l.docs[i], 0
		if e.held != d.held {
			r += 2
		}
		if e.lang == d.lang {
			r++
		}
		if r > rank {
			best, rank = int(i), r
		}
		if rank == 3 || k > 64 {
			break
		}
	}
	return best
}

const takeOut = "take one of them out; concord data convert FILE -o NEW writes a copy to edit"

// pair says of a document how it is like an earlier one.
func (l *Linter) pair(at, first int, jaccard float64) {
	a, b := l.docs[first], l.docs[at]
	both, near := l.where(at)+" = "+l.where(first), jaccard < 1
	if near {
		both = fmt.Sprintf("%s ≈ %s (%.0f%% shared)", l.where(at), l.where(first), 100*jaccard)
	}
	switch {
	case a.held != b.held:
		if !b.held { // told of the held-out one
			at = first
		}
		text := "held out and also trained on: its figure shows memory"
		if near {
			text = "held out and nearly the same as a text that is trained on"
		}
		l.noteAt(Leak, at, both, text, "take it out of the one or the other; holdout = 0.05 in place of heldout keeps equal prompts together")
	case near && a.lang == b.lang:
		l.noteAt(Near, at, both, "nearly the same as an earlier one", takeOut)
	case near:
		l.noteAt(Near, at, both, "nearly the same as one of another language", "give it to the language that it is in")
	case a.lang == b.lang:
		l.noteAt(Duplicate, at, both, "the same as an earlier one", takeOut)
	default:
		l.noteAt(Across, at, both, "the same as one of another language", "give it to the language that it is in")
	}
}

// alike finds documents that are nearly the same.
func (l *Linter) alike(read func(yield func(*data.Inspected) error) error) error {
	pairs, err := l.index.Pairs(l.opt.Near, func(want func(int) bool, text func(int, string)) error {
		at := 0
		return read(func(d *data.Inspected) error {
			if at < len(l.byNear) && want(at) { // the first documents are those of the index
				text(at, d.Given+"\n"+d.Learnt)
			}
			at++
			return nil
		})
	})
	if err != nil {
		return err
	}
	for _, p := range pairs {
		a, b := int(l.byNear[p.A]), int(l.byNear[p.B])
		if l.docs[a].near >= 0 && l.docs[b].near >= 0 {
			l.pair(b, a, min(p.Jaccard, 1-1e-9))
		}
	}
	return nil
}

// Left says for how many documents near duplicates were not looked for, and whether
// there were more candidates than were compared.
func (l *Linter) Left() (documents int, more bool) { return l.index.Left, l.index.More }

// Documents is how many there were.
func (l *Linter) Documents() int { return len(l.docs) }
