package main

import (
	"bytes"
	"cmp"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"maps"
	"path/filepath"
	"slices"
)

// The corpus is general text about the world's scripts, not the tasks:
//
//   - the Declaration's training articles in every complete declaration of a
//     language that is not of the demonstration (nor a variant of one);
//   - CLDR's training names in all locales, as lists of one language, a name a
//     line. In the languages that are not of the demonstration one list in
//     three is a glossary, "English name: name", so that the base model learns
//     that a name is followed by the same thing in another language. The
//     tasks' own format, with its language tag, never occurs.
//
// Documents are shuffled by hash and one in fifty is kept for evaluation.

const (
	corpusTrain    = "train.jsonl"
	corpusEval     = "eval.jsonl"
	glossaryEvery  = 3  // one list in this many is a glossary
	corpusEvalPart = 50 // one document in this many is for evaluation
	minListBytes   = 200
	listBytesRange = 300 // lists end at 200..500 bytes
)

// corpusPart counts one source's share of the corpus.
type corpusPart struct {
	Sources   []string `json:"sources"` // locales or declaration codes
	Documents int      `json:"documents"`
	Bytes     int      `json:"text_bytes"`
	Dropped   int      `json:"dropped_for_held_out_text"` // names or documents that repeat held-out text
}

// corpusFile describes one file of the corpus.
type corpusFile struct {
	SHA256    string `json:"sha256"`
	Documents int    `json:"documents"`
	FileBytes int    `json:"file_bytes"`
	Bytes     int    `json:"text_bytes"`
}

// corpusInfo is the manifest's entry on the corpus.
type corpusInfo struct {
	Documents int                   `json:"documents"`
	Bytes     int                   `json:"text_bytes"`
	Files     map[string]corpusFile `json:"files"`
	Names     corpusPart            `json:"names"`
	UDHR      corpusPart            `json:"udhr"`
}

// writeCorpus makes the corpus's two files.
func writeCorpus(dir string, n names, declarations []declaration, h *holdout) (corpusInfo, error) {
	nameDocs, namePart := nameDocuments(n, h)
	udhrDocs, udhrPart := udhrDocuments(declarations, h)
	info := corpusInfo{Names: namePart, UDHR: udhrPart, Files: map[string]corpusFile{}}
	docs := slices.Concat(nameDocs, udhrDocs)
	slices.SortFunc(docs, func(a, b string) int {
		ha, hb := hash(a), hash(b)
		return cmp.Or(bytes.Compare(ha[:], hb[:]), cmp.Compare(a, b))
	})
	docs = slices.Compact(docs)
	split := map[string][]any{}
	for i, d := range docs {
		file := corpusTrain
		if i%corpusEvalPart == 0 {
			file = corpusEval
		}
		split[file] = append(split[file], document{d})
		f := info.Files[file]
		f.Documents++
		f.Bytes += len(d)
		info.Files[file] = f
		info.Bytes += len(d)
	}
	info.Documents = len(docs)
	for file, lines := range split {
		text, err := writeLines(filepath.Join(dir, file), lines)
		if err != nil {
			return info, fmt.Errorf("corpus: %w", err)
		}
		sum := sha256.Sum256(text)
		f := info.Files[file]
		f.SHA256, f.FileBytes = hex.EncodeToString(sum[:]), len(text)
		info.Files[file] = f
	}
	return info, nil
}

// nameDocuments makes the lists of names of every locale.
func nameDocuments(n names, h *holdout) (docs []string, part corpusPart) {
	for _, locale := range slices.Sorted(maps.Keys(n)) {
		var symbols []string
		for symbol, name := range n[locale] {
			// By symbol in every locale, and by text: see holdout.go.
			if h.symbols[symbol] {
				continue
			}
			if h.heldText(name) != "" {
				part.Dropped++
				continue
			}
			symbols = append(symbols, symbol)
		}
		slices.SortFunc(symbols, func(a, b string) int {
			ha, hb := hash(locale+"\n"+a), hash(locale+"\n"+b)
			return bytes.Compare(ha[:], hb[:])
		})
		lists := nameLists(locale, symbols, n[locale], h)
		part.Sources = append(part.Sources, locale)
		docs = append(docs, lists...)
	}
	part.Documents = len(docs)
	for _, d := range docs {
		part.Bytes += len(d)
	}
	return docs, part
}

// nameLists cuts a locale's symbols into lists of 200 to 500 bytes.
func nameLists(locale string, symbols []string, name map[string]string, h *holdout) (lists []string) {
	for len(symbols) > 0 {
		r := hash(fmt.Sprintf("%s\n%d", locale, len(lists)))
		u := binary.BigEndian.Uint64(r[:])
		want := minListBytes + int(u%listBytesRange)
		glossary := !isDemo(locale) && (u>>32)%glossaryEvery == 0
		var list []byte
		for len(symbols) > 0 && len(list) < want {
			if len(list) > 0 {
				list = append(list, '\n')
			}
			if english := h.english[symbols[0]]; glossary && english != "" {
				list = append(list, english+glossarySeparator...)
			}
			list = append(list, name[symbols[0]]...)
			symbols = symbols[1:]
		}
		lists = append(lists, string(list))
	}
	return lists
}

// glossarySeparator stands between the English name and the other.
const glossarySeparator = ": "

// udhrDocuments makes one document per preamble and training article.
func udhrDocuments(declarations []declaration, h *holdout) (docs []string, part corpusPart) {
	for i := range declarations {
		d := &declarations[i]
		if isDemo(d.tag) {
			continue
		}
		part.Sources = append(part.Sources, d.code)
		texts := []string{d.preamble}
		for a := 1; a <= numArticles; a++ {
			if !articleHeld(a) {
				texts = append(texts, d.articles[a])
			}
		}
		for _, t := range texts {
			switch {
			case t == "":
			case h.heldPassage(t) != "":
				part.Dropped++
			default:
				docs = append(docs, t)
				part.Bytes += len(t)
			}
		}
	}
	part.Documents = len(docs)
	return docs, part
}

// hash orders documents and names in a fixed, source-independent way.
func hash(s string) [32]byte { return sha256.Sum256([]byte(s)) }
