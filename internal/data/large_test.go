package data

import (
	"bufio"
	"encoding/json"
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"concord/internal/records"
)

// TestWriteLarge writes the file of CONCORD_LARGE: about 2 GB (or CONCORD_LARGE_MB)
// of documents of some 1.5 kB, no two alike. Without it a small one is written and read.
// A fifth of the words are invented, the rest are of the declaration in eight languages:
// no cache of words has all of them.
func TestWriteLarge(t *testing.T) {
	path, size := os.Getenv("CONCORD_LARGE"), 2_000_000_000
	if path == "" {
		path, size = filepath.Join(t.TempDir(), "large.jsonl"), 50_000
	} else if mb := os.Getenv("CONCORD_LARGE_MB"); mb != "" {
		n, err := strconv.Atoi(mb)
		if err != nil {
			t.Fatal(err)
		}
		size = n * 1_000_000
	}
	writeLarge(t, path, largeSentences(t), size)
	if info, err := os.Stat(path); err != nil || info.Size() < int64(size) || info.Size() > int64(size)+10_000 {
		t.Fatalf("%v, %v", info, err)
	}
	if size > 50_000 {
		return
	}
	seen := map[string]bool{}
	err := records.Read(path, "", func(string, ...any) {}, func(r records.Record) error {
		seen[string(r.Fields["text"])] = true
		return nil
	})
	if err != nil || len(seen) < 10 {
		t.Fatalf("%d different documents, %v", len(seen), err)
	}
}

// largeSentences are the sentences of examples/udhr8, all languages.
func largeSentences(t *testing.T) []string {
	t.Helper()
	files, err := filepath.Glob("../../examples/udhr8/data/*.train.jsonl")
	if err != nil || len(files) < 8 {
		t.Fatalf("%d files, %v", len(files), err)
	}
	var out []string
	for _, path := range files {
		err := records.Read(path, "", func(string, ...any) {}, func(r records.Record) error {
			var text string
			if err := json.Unmarshal(r.Fields["text"], &text); err != nil {
				return err
			}
			out = append(out, strings.Split(text, "\n")...)
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	return out
}

// writeLarge writes documents of those sentences until the file has size bytes.
func writeLarge(t *testing.T, path string, sentences []string, size int) {
	t.Helper()
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	w, r := bufio.NewWriterSize(f, 1<<20), rand.New(rand.NewPCG(1, 2))
	var b strings.Builder
	for n := 0; size > 0; n++ {
		b.Reset()
		fmt.Fprintf(&b, "%d.", n)
		for b.Len() < 1400 {
			for i, word := range strings.Fields(sentences[r.IntN(len(sentences))]) {
				if i == 0 {
					b.WriteByte('\n')
				} else {
					b.WriteByte(' ')
				}
				b.WriteString(word)
				if r.IntN(4) == 0 {
					b.WriteString(" " + inventedWord(r))
				}
			}
		}
		line, err := json.Marshal(map[string]string{"text": b.String()})
		if err != nil {
			t.Fatal(err)
		}
		size -= len(line) + 1
		if _, err := w.Write(append(line, '\n')); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Flush(); err != nil {
		t.Fatal(err)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
}

// inventedWord is the k-th of a million words of two to four syllables, k by Zipf's law.
func inventedWord(r *rand.Rand) string {
	k := uint64(math.Exp(r.Float64() * math.Log(1e6)))
	w := rand.New(rand.NewPCG(k, 3))
	var b strings.Builder
	for range 2 + w.IntN(3) {
		b.WriteByte("bdfghjklmnprstvz"[w.IntN(16)])
		b.WriteByte("aeiou"[w.IntN(5)])
	}
	return b.String()
}
