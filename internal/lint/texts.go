package lint

import (
	"strings"
	"unicode"
	"unicode/utf8"

	"concord/internal/data"
)

// Thresholds of the findings on single documents.
const (
	longAnswer = 200 // characters from which an answer should end as a sentence does
	fewLetters = 12  // that say which script a text is in
	mostly     = 0.9 // share of a language's texts that make its script, or its way to end
	enough     = 20  // documents of a language before others are held against them
)

// texts looks at a document's text and turns.
func (l *Linter) texts(d *data.Inspected, at int) {
	text := d.Given + "\n" + d.Learnt
	switch {
	case strings.TrimSpace(text) == "":
		l.note(Empty, at, "no text at all: left out", "remove the line")
	case strings.TrimSpace(d.Learnt) == "" || d.BlankAnswer:
		l.note(Empty, at, "an empty answer", "remove the line, or write the answer")
	case d.Masked:
		l.note(Empty, at, "nothing in it is trained: left out", "concord data mask RUN.toml shows which text is; train_on, "+
			"\"weight\" and roles decide")
	}
	if strings.ContainsRune(text, utf8.RuneError) {
		l.note(Damaged, at, "the replacement character � where another encoding was read as UTF-8", "read the original "+
			"again with its own encoding, and write UTF-8")
	}
	if mojibake(text) {
		l.note(Damaged, at, "UTF-8 that was read as Latin-1, such as Ã© for é", "in Python: text.encode(\"cp1252\").decode(\"utf-8\")")
	}
	if strings.ContainsFunc(text, func(r rune) bool { return unicode.Is(unicode.Cc, r) && r != '\n' && r != '\t' && r != '\r' }) {
		l.note(Damaged, at, "control characters", "remove them")
	}
	if fault := order(d.Roles); fault != "" {
		l.note(Roles, at, fault, "mend the line; roles = {assistant = \"…\"} in its [[data.source]] names roles otherwise")
	}
	learnt := strings.TrimSpace(d.Learnt)
	p := &l.docs[at]
	p.script = scriptOf(learnt)
	if p.long = utf8.RuneCountInString(learnt) >= longAnswer; p.long {
		last, _ := utf8.DecodeLastRuneInString(learnt)
		p.open = unicode.IsLetter(last) || unicode.IsMark(last) || last == ',' || last == '，' || last == '、'
	}
}

// against tells documents that differ from nearly all others of their language.
func (l *Linter) against() {
	type sum struct {
		scripts   map[script]int
		all       int
		long, end int
	}
	by := make([]sum, len(l.langs))
	for _, d := range l.docs {
		s := &by[d.lang]
		if s.scripts == nil {
			s.scripts = map[script]int{}
		}
		if d.script != none {
			s.scripts[d.script]++
			s.all++
		}
		if d.long {
			if s.long++; !d.open {
				s.end++
			}
		}
	}
	for at, d := range l.docs {
		s := by[d.lang]
		for other, n := range s.scripts {
			if d.script != none && other != d.script && s.all >= enough && float64(n) >= mostly*float64(s.all) {
				l.note(Script, at, "in "+names[d.script]+", and nearly all of the language is in "+names[other],
					"remove it, or give it a [[data.source]] of its own")
			}
		}
		if d.open && s.long >= enough && float64(s.end) >= mostly*float64(s.long) {
			l.note(CutOff, at, "a long answer that ends in the middle of a sentence: the model learns to stop there",
				"remove it, or the longer original; who cut it, a length limit?")
		}
	}
}

// order names the fault in the order of a conversation's roles, "" for nothing.
func order(roles []string) string {
	var turns []string
	for i, r := range roles {
		switch {
		case r == "system" || r == "developer":
			if i > 0 && roles[i-1] != "system" && roles[i-1] != "developer" {
				return "a system text after the first turn, which many templates refuse"
			}
		case r == "tool":
			turns = append(turns, "")
		default:
			turns = append(turns, r)
		}
	}
	switch {
	case len(roles) == 0:
		return ""
	case len(turns) == 0:
		return "a conversation without a turn"
	case turns[0] == "assistant":
		return "the assistant speaks first, to no question"
	case turns[len(turns)-1] != "assistant":
		return "the last turn is not the assistant's: it is not trained"
	}
	for i := 1; i < len(turns); i++ {
		if turns[i] != "" && turns[i] == turns[i-1] {
			return "two turns of one role in a row"
		}
	}
	return ""
}

// cp1252 are the bytes 0x80 … 0x9f of Windows-1252 as characters.
var cp1252 = map[rune]byte{
	'€': 0x80, '‚': 0x82, 'ƒ': 0x83, '„': 0x84, '…': 0x85, '†': 0x86, '‡': 0x87, 'ˆ': 0x88, '‰': 0x89, 'Š': 0x8a, '‹': 0x8b,
	'Œ': 0x8c, 'Ž': 0x8e,
	'‘': 0x91, '’': 0x92, '“': 0x93, '”': 0x94, '•': 0x95, '–': 0x96, '—': 0x97, '˜': 0x98, '™': 0x99, 'š': 0x9a, '›': 0x9b,
	'œ': 0x9c, 'ž': 0x9e, 'Ÿ': 0x9f,
}

// mojibake reports whether a text holds characters that, as single bytes, are UTF-8 of
// others: a letter from C2 on with signs such as © and ¡ after it, or â€ with another.
// Letters before quotes and dashes, as in CAFÉ”, are no sign of it.
func mojibake(text string) bool {
	var run []byte
	var latin []bool // the byte stands for itself, not as cp1252 has it
	for _, r := range text + " " {
		b, known := cp1252[r]
		if known || r >= 0x80 && r <= 0xff {
			if !known {
				b = byte(r)
			}
			run, latin = append(run, b), append(latin, !known)
			continue
		}
		if misread(run, latin) {
			return true
		}
		run, latin = run[:0], latin[:0]
	}
	return false
}

// misread looks at a run of characters beyond ASCII as bytes.
func misread(run []byte, latin []bool) bool {
	for i := range run {
		r, n := utf8.DecodeRune(run[i:])
		switch {
		case r == utf8.RuneError || n < 2:
		case n == 2 && latin[i+1], n > 2 && (latin[i+1] || latin[i+2] || run[i+1] == 0x80):
			return true
		}
	}
	return false
}

// script is the writing system of a text, those that stand together as one.
type script uint8

const none script = 0

// tables are the scripts that are told apart; Japanese mixes three, Korean two.
var tables = []struct {
	name string
	in   []*unicode.RangeTable
}{
	{"Latin", []*unicode.RangeTable{unicode.Latin}}, {"Cyrillic", []*unicode.RangeTable{unicode.Cyrillic}},
	{"Greek", []*unicode.RangeTable{unicode.Greek}},
	{"Arabic", []*unicode.RangeTable{unicode.Arabic}}, {"Hebrew", []*unicode.RangeTable{unicode.Hebrew}},
	{"Devanagari", []*unicode.RangeTable{unicode.Devanagari}},
	{"Bengali", []*unicode.RangeTable{unicode.Bengali}}, {"Gurmukhi", []*unicode.RangeTable{unicode.Gurmukhi}},
	{"Gujarati", []*unicode.RangeTable{unicode.Gujarati}},
	{"Tamil", []*unicode.RangeTable{unicode.Tamil}}, {"Telugu", []*unicode.RangeTable{unicode.Telugu}},
	{"Kannada", []*unicode.RangeTable{unicode.Kannada}},
	{"Malayalam", []*unicode.RangeTable{unicode.Malayalam}}, {"Sinhala", []*unicode.RangeTable{unicode.Sinhala}},
	{"Thai", []*unicode.RangeTable{unicode.Thai}},
	{"Lao", []*unicode.RangeTable{unicode.Lao}}, {"Khmer", []*unicode.RangeTable{unicode.Khmer}},
	{"Burmese", []*unicode.RangeTable{unicode.Myanmar}},
	{"Georgian", []*unicode.RangeTable{unicode.Georgian}}, {"Armenian", []*unicode.RangeTable{unicode.Armenian}},
	{"Ethiopic", []*unicode.RangeTable{unicode.Ethiopic}},
	{"Han, kana or Hangul", []*unicode.RangeTable{unicode.Han, unicode.Hiragana, unicode.Katakana, unicode.Hangul}},
}

// names are the scripts' by number.
var names = func() []string {
	out := []string{""}
	for _, t := range tables {
		out = append(out, t.name)
	}
	return append(out, "another script")
}()

// scriptOf is the script of most of a text's letters; none where no script has 80 % of
// them, or there are few.
func scriptOf(text string) script {
	var counts [32]int
	all := 0
	for _, r := range text {
		if !unicode.IsLetter(r) {
			continue
		}
		all++
		counts[ofLetter(r)]++
	}
	for s, n := range counts {
		if all >= fewLetters && 10*n >= 8*all {
			return script(s)
		}
	}
	return none
}

func ofLetter(r rune) script {
	for i, t := range tables {
		if unicode.In(r, t.in...) {
			return script(i + 1)
		}
	}
	return script(len(tables) + 1)
}
