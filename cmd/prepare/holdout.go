package main

import (
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"maps"
	"slices"
	"strings"
)

// The held-out material, precisely.
//
// Names: a key is a CLDR symbol, spoken of by its English name, that all
// seventeen languages name. One key in ten is held out, by keyHeld of its
// English name, in every language at once: the symbol's name is in no training
// file and, in every one of CLDR's locales, not in the pre-training corpus.
// Different symbols may share a name across languages (a Galician name that a
// Portuguese held-out symbol also has), so beyond the symbols any line whose
// folded text equals a held-out name of any of the seventeen is left out too.
//
// Declaration: heldArticles of every language, including the hundreds the
// corpus is made of.

// heldArticles are the articles of the Declaration that are held out.
var heldArticles = []int{5, 10, 15, 20, 25, 30}

// holdout is the text that may not occur in training text.
type holdout struct {
	keys     []string            // symbols named by all languages, by English name
	english  map[string]string   // symbol → English name
	heldKeys []string            // English names of the held-out keys, sorted
	symbols  map[string]bool     // held-out symbols
	texts    map[string][]string // folded held-out name → "locale: key" that has it
	passages []passage           // held-out articles of the demonstration's languages
}

// passage is a held-out piece of running text, folded.
type passage struct{ where, text string }

// keyHeld reports whether the key of this English name is held out: the first
// eight bytes of its SHA-256, as a big-endian number, divide by ten. It depends
// on nothing but the name, so it survives additions to CLDR.
func keyHeld(english string) bool {
	sum := sha256.Sum256([]byte(english))
	return binary.BigEndian.Uint64(sum[:8])%10 == 0
}

// articleHeld reports whether the article of this number is held out.
func articleHeld(n int) bool { return slices.Contains(heldArticles, n) }

// holdOut finds the keys common to all languages, and those parts of them, and of the
// declarations, is held out.
func holdOut(n names, declarations []declaration) (*holdout, error) {
	h := &holdout{english: n["en"], symbols: map[string]bool{}, texts: map[string][]string{}}
	byName := map[string]string{}
	for _, symbol := range slices.Sorted(maps.Keys(h.english)) {
		name := h.english[symbol]
		if other, ok := byName[name]; ok {
			return nil, fmt.Errorf("symbols %q and %q are both %q in English: prompts would be ambiguous", other, symbol, name)
		}
		byName[name] = symbol
		if strings.Contains(name, ">") {
			return nil, fmt.Errorf("the English name %q holds the prompt's separator '>'", name)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(byName)) {
		symbol := byName[name]
		if !namedByAll(n, symbol) {
			continue
		}
		h.keys = append(h.keys, symbol)
		if keyHeld(name) {
			h.heldKeys = append(h.heldKeys, name)
			h.symbols[symbol] = true
			for _, l := range languages {
				t := fold(n[l.tag][symbol])
				h.texts[t] = append(h.texts[t], l.tag+": "+name)
			}
		}
	}
	return h, h.addPassages(declarations)
}

// namedByAll reports whether all languages of the demonstration name symbol.
func namedByAll(n names, symbol string) bool {
	for _, l := range languages {
		if n[l.tag][symbol] == "" {
			return false
		}
	}
	return true
}

// minPassage is the length in bytes from which a held-out paragraph is
// searched for on its own; shorter ones (a heading, "Article 5") recur.
const minPassage = 40

// addPassages collects the held-out articles of task B's declarations, whole
// and by paragraph.
func (h *holdout) addPassages(declarations []declaration) error {
	for _, l := range languages {
		if l.udhr == "" {
			continue
		}
		d, err := find(declarations, l.udhr)
		if err != nil {
			return err
		}
		for _, a := range heldArticles {
			where := fmt.Sprintf("article %d in %s", a, l.tag)
			h.passages = append(h.passages, passage{where, fold(d.articles[a])})
			for line := range strings.SplitSeq(d.articles[a], "\n") {
				if f := fold(line); len(f) >= minPassage {
					h.passages = append(h.passages, passage{where, f})
				}
			}
		}
	}
	return nil
}

// find is the complete declaration of a code.
func find(declarations []declaration, code string) (*declaration, error) {
	i := slices.IndexFunc(declarations, func(d declaration) bool { return d.code == code })
	if i < 0 {
		return nil, fmt.Errorf("the package has no complete declaration %q", code)
	}
	return &declarations[i], nil
}

// heldText reports which held-out name a line repeats, "" if none.
func (h *holdout) heldText(line string) string {
	if where := h.texts[fold(line)]; len(where) > 0 {
		return where[0]
	}
	return ""
}

// heldPassage reports which held-out passage a document contains, "" if none.
func (h *holdout) heldPassage(document string) string {
	f := fold(document)
	for _, p := range h.passages {
		if strings.Contains(f, p.text) {
			return p.where
		}
	}
	return ""
}
