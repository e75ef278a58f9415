package main

import (
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// names maps locale → symbol → the symbol's name in that locale (CLDR's "tts"
// value). Symbols are normalised by baseSymbol.
type names map[string]map[string]string

// readNames reads annotations/<locale>/annotations.json of every locale.
func readNames(dir string) (names, error) {
	files, err := filepath.Glob(filepath.Join(dir, "annotations", "*", "annotations.json"))
	if err != nil {
		return nil, err
	}
	if len(files) == 0 {
		return nil, fmt.Errorf("%s holds no annotations/*/annotations.json: -cldr must be the unpacked package's folder (package/)", dir)
	}
	out := names{}
	for _, f := range files {
		n, err := readLocale(f)
		if err != nil {
			return nil, err
		}
		if len(n) > 0 {
			out[filepath.Base(filepath.Dir(f))] = n
		}
	}
	if len(out["en"]) == 0 {
		return nil, fmt.Errorf("%s has no English names: is the package complete?", dir)
	}
	return out, nil
}

// readLocale reads one locale's names. Where CLDR lists two names for a symbol
// the first counts; where two symbols share a base the smaller symbol's does.
func readLocale(file string) (map[string]string, error) {
	text, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	var doc struct {
		Annotations struct {
			Annotations map[string]struct {
				TTS []string `json:"tts"`
			} `json:"annotations"`
		} `json:"annotations"`
	}
	if err := json.Unmarshal(text, &doc); err != nil {
		return nil, fmt.Errorf("%s: %w", file, err)
	}
	entries := doc.Annotations.Annotations
	out := map[string]string{}
	for _, symbol := range slices.Sorted(maps.Keys(entries)) {
		tts := entries[symbol].TTS
		if len(tts) == 0 || strings.TrimSpace(tts[0]) == "" {
			continue
		}
		base := baseSymbol(symbol)
		if _, ok := out[base]; !ok {
			out[base] = oneLine(tts[0])
		}
	}
	return out, nil
}

// baseSymbol drops the variation selectors and, in a sequence, the skin-tone
// modifiers, so that ✌, ✌️ and ✌🏽 are one symbol and are held out together.
func baseSymbol(symbol string) string {
	base := strings.Map(func(r rune) rune {
		if r == 0xFE0E || r == 0xFE0F || (r >= 0x1F3FB && r <= 0x1F3FF) {
			return -1
		}
		return r
	}, symbol)
	if base == "" {
		return symbol // a modifier on its own is a symbol of its own
	}
	return base
}

// oneLine collapses white space to single spaces.
func oneLine(s string) string { return strings.Join(strings.Fields(s), " ") }

// fold is the form in which texts are compared: lower case, single spaces.
func fold(s string) string { return oneLine(strings.ToLower(s)) }
