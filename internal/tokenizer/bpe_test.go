package tokenizer

import (
	"strings"
	"testing"
)

// BenchmarkEncode reports MB/s of one long text: words, mostly from the cache
// (byte-level), or a single piece for the heap (llama2 has no word split).
func BenchmarkEncode(b *testing.B) {
	var texts []string
	readGolden(b, "texts.json", &texts)
	text := strings.Repeat(strings.Join(texts, " "), 40)
	for _, name := range []string{"gpt2", "llama3", "llama2", "gemma", "other_regex"} {
		b.Run(name, func(b *testing.B) {
			tok := loadGolden(b, name)
			b.SetBytes(int64(len(text)))
			for b.Loop() {
				if _, err := tok.Encode(text, false); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// mergeScan and mergeHeap are two ways to the same result.
func TestMergeScanIsMergeHeap(t *testing.T) {
	var texts []string
	readGolden(t, "texts.json", &texts)
	for _, name := range goldenNames(t) {
		m := loadGolden(t, name).model
		for _, text := range texts {
			a, err := m.symbols(text)
			if err != nil {
				t.Fatal(err)
			}
			c := append([]symbol(nil), a...)
			scan, heap := m.mergeScan(a), m.mergeHeap(c)
			if len(scan) != len(heap) {
				t.Fatalf("%s: %q: %v and %v", name, text, scan, heap)
			}
			for i := range scan {
				if scan[i] != heap[i] {
					t.Fatalf("%s: %q: %v and %v", name, text, scan, heap)
				}
			}
		}
	}
}
