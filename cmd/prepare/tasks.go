package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
)

// pair is one line of task A.
type pair struct {
	Prompt     string `json:"prompt"`
	Completion string `json:"completion"`
}

// document is one line of task B and of the corpus.
type document struct {
	Text string `json:"text"`
}

// prompt is task A's question: the English name, then the language asked for.
func prompt(english, tag string) string { return english + " > " + tag + ":" }

// writeTasks writes names8/data and udhr8/data: a training and a held-out file
// per seen language, a held-out file per unseen one.
func writeTasks(out string, n names, declarations []declaration, h *holdout) error {
	for _, l := range languages {
		if l.inTask(taskA) {
			train, held := namesOf(l, n, h)
			if err := writeSplit(filepath.Join(out, "names8", "data"), l, taskA, train, held); err != nil {
				return err
			}
		}
		if l.inTask(taskB) {
			d, err := find(declarations, l.udhr)
			if err != nil {
				return err
			}
			train, held := articlesOf(d)
			if err := writeSplit(filepath.Join(out, "udhr8", "data"), l, taskB, train, held); err != nil {
				return err
			}
		}
	}
	return nil
}

// namesOf makes task A's lines for a language, in the order of English names.
func namesOf(l language, n names, h *holdout) (train, held []any) {
	for _, symbol := range h.keys {
		english, name := h.english[symbol], n[l.tag][symbol]
		p := pair{prompt(english, l.tag), " " + name}
		switch {
		case h.symbols[symbol]:
			held = append(held, p)
		case h.heldText(name) == "":
			train = append(train, p)
		}
	}
	return train, held
}

// articlesOf makes task B's lines: the preamble and each article.
func articlesOf(d *declaration) (train, held []any) {
	if d.preamble != "" {
		train = append(train, document{d.preamble})
	}
	for i := 1; i <= numArticles; i++ {
		if articleHeld(i) {
			held = append(held, document{d.articles[i]})
		} else {
			train = append(train, document{d.articles[i]})
		}
	}
	return train, held
}

// writeSplit writes a language's files of one task. An unseen language gets no
// training file at all.
func writeSplit(dir string, l language, task int, train, held []any) error {
	if l.seen&task != 0 {
		if _, err := writeLines(filepath.Join(dir, l.tag+".train.jsonl"), train); err != nil {
			return err
		}
	}
	_, err := writeLines(filepath.Join(dir, l.tag+".heldout.jsonl"), held)
	return err
}

// writeLines writes one JSON value a line and returns the bytes written.
func writeLines(file string, lines []any) ([]byte, error) {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false) // '>' and '&' stay readable
	for _, l := range lines {
		if err := enc.Encode(l); err != nil {
			return nil, fmt.Errorf("%s: %w", file, err)
		}
	}
	return b.Bytes(), writeFile(file, b.Bytes())
}

// writeFile writes a file and the folders above it.
func writeFile(file string, text []byte) error {
	if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
		return err
	}
	return os.WriteFile(file, text, 0o644)
}

// readLines reads a file of JSON lines.
func readLines[T any](file string) ([]T, error) {
	text, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	var out []T
	dec := json.NewDecoder(bytes.NewReader(text))
	dec.DisallowUnknownFields()
	for dec.More() {
		var v T
		if err := dec.Decode(&v); err != nil {
			return nil, fmt.Errorf("%s: line %d: %w", file, len(out)+1, err)
		}
		out = append(out, v)
	}
	return out, nil
}
