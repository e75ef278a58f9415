package main

import (
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
)

// verifyTasks reads the written task files back and fails if anything held out
// is in a training file, or if the held-out files differ in their keys.
func verifyTasks(out string, h *holdout) error {
	var errs []error
	for _, l := range languages {
		if l.inTask(taskA) {
			errs = append(errs, verifyNames(filepath.Join(out, "names8", "data"), l, h.heldKeys))
		}
		if l.inTask(taskB) {
			errs = append(errs, verifyArticles(filepath.Join(out, "udhr8", "data"), l))
		}
	}
	return errors.Join(errs...)
}

// verifyNames checks task A's files of one language: the held-out keys are
// exactly heldKeys, and no training line has a held-out key or, as its answer,
// the language's name of one.
func verifyNames(dir string, l language, heldKeys []string) error {
	held, err := readLines[pair](filepath.Join(dir, l.tag+".heldout.jsonl"))
	if err != nil {
		return err
	}
	answers := map[string]string{}
	var keys []string
	for _, p := range held {
		key, ok := strings.CutSuffix(p.Prompt, prompt("", l.tag))
		if !ok || !keyHeld(key) {
			return fmt.Errorf("names8 %s: %q is not the prompt of a held-out key", l.tag, p.Prompt)
		}
		keys = append(keys, key)
		answers[fold(p.Completion)] = key
	}
	if slices.Sort(keys); !slices.Equal(keys, heldKeys) {
		return fmt.Errorf("names8 %s: the held-out file's keys are not the %d held-out keys", l.tag, len(heldKeys))
	}
	if l.seen&taskA == 0 {
		return nil
	}
	train, err := readLines[pair](filepath.Join(dir, l.tag+".train.jsonl"))
	if err != nil {
		return err
	}
	for i, p := range train {
		key, ok := strings.CutSuffix(p.Prompt, prompt("", l.tag))
		if !ok || keyHeld(key) || slices.Contains(heldKeys, key) {
			return fmt.Errorf("names8 %s.train.jsonl:%d: held-out key in prompt %q", l.tag, i+1, p.Prompt)
		}
		if other, ok := answers[fold(p.Completion)]; ok {
			return fmt.Errorf("names8 %s.train.jsonl:%d: answer %q is that of the held-out key %q", l.tag, i+1, p.Completion, other)
		}
	}
	return nil
}

// verifyArticles checks task B's files of one language: as many held-out
// documents as heldArticles, and none of them, nor a paragraph of one, in the
// training file.
func verifyArticles(dir string, l language) error {
	held, err := readLines[document](filepath.Join(dir, l.tag+".heldout.jsonl"))
	if err != nil {
		return err
	}
	if len(held) != len(heldArticles) {
		return fmt.Errorf("udhr8 %s: %d held-out articles, want %d", l.tag, len(held), len(heldArticles))
	}
	if l.seen&taskB == 0 {
		return nil
	}
	train, err := readLines[document](filepath.Join(dir, l.tag+".train.jsonl"))
	if err != nil {
		return err
	}
	h := holdout{}
	for _, d := range held {
		h.passages = append(h.passages, passage{l.tag, fold(d.Text)})
		for line := range strings.SplitSeq(d.Text, "\n") {
			if f := fold(line); len(f) >= minPassage {
				h.passages = append(h.passages, passage{l.tag, f})
			}
		}
	}
	for i, d := range train {
		if h.heldPassage(d.Text) != "" {
			return fmt.Errorf("udhr8 %s.train.jsonl:%d: held-out text in it", l.tag, i+1)
		}
	}
	return nil
}

// verifyCorpus reads the written corpus back and fails if a line, or either
// side of a glossary line, is a held-out name, or a document holds a held-out
// passage. It works from the text alone, not from how the corpus was made.
func verifyCorpus(dir string, h *holdout) error {
	for _, file := range []string{corpusTrain, corpusEval} {
		docs, err := readLines[document](filepath.Join(dir, file))
		if err != nil {
			return err
		}
		for i, d := range docs {
			if where := h.inDocument(d.Text); where != "" {
				return fmt.Errorf("%s:%d: held-out text in the corpus (%s)", file, i+1, where)
			}
		}
	}
	return nil
}

// inDocument reports the held-out text that a document of the corpus has.
func (h *holdout) inDocument(text string) string {
	for line := range strings.SplitSeq(text, "\n") {
		parts := []string{line}
		for i := range line { // a name may hold the separator itself: "keycap: 8"
			if after, ok := strings.CutPrefix(line[i:], glossarySeparator); ok {
				parts = append(parts, line[:i], after)
			}
		}
		for _, p := range parts {
			if where := h.heldText(p); where != "" {
				return where
			}
		}
	}
	return h.heldPassage(text)
}
