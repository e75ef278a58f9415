package tokenizer

import (
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
)

// The hand-written scanners cut exactly as a regex engine does, on the golden
// texts and on random strings of the characters the patterns tell apart.
func TestScannersMatchRegex(t *testing.T) {
	var texts []string
	readGolden(t, "texts.json", &texts)
	atoms := []string{" ", "  ", "\n", "\r", "\r\n", "\t", "\u0085", "\u00a0", "\u2028", "\u3000", "'", "'s", "'T", "'rE", "'LL",
		"'ſ", "ſ", "s", "l",
		"a", "Z", "é", "ß", "ʰ", "ǅ", "中", "ع", "\u0301", "\u0903", "\u20dd", "1", "٣", "Ⅷ", "½", ".", "-", "_", "€", "🙂", "\u200d",
		"\x00", "\ue000", "\U000e0041"}
	rng := rand.New(rand.NewPCG(3, 4))
	for range 3000 {
		var b strings.Builder
		for range 1 + rng.IntN(12) {
			b.WriteString(atoms[rng.IntN(len(atoms))])
		}
		texts = append(texts, b.String())
	}
	for _, pattern := range []string{PatternGPT2, PatternLlama3, PatternQwen2, PatternQwen35} {
		oracle, err := findRegex(pattern)
		if err != nil {
			t.Fatal(err)
		}
		scan := findScan(scannerFor(pattern))
		for _, text := range texts {
			want, err := oracle(text)
			if err != nil {
				t.Fatal(err)
			}
			got, err := scan(text)
			if err != nil || !slices.Equal(got, want) {
				t.Fatalf("%q with %s:\n got %v %v\nwant %v", text, pattern, got, err, want)
			}
		}
	}
}

// A pattern that differs in one character has no hand-written scanner.
func TestScannerForIsExact(t *testing.T) {
	for _, p := range []string{"", PatternGPT2 + " ", strings.Replace(PatternLlama3, "{1,3}", "{1,2}", 1), "(" + PatternQwen2 + ")"} {
		if scannerFor(p) != nil {
			t.Errorf("%q has a scanner", p)
		}
	}
}
