package neardup

import (
	"fmt"
	"reflect"
	"strings"
	"testing"
)

// text is of n invented words, as random as the seed.
func text(seed uint64, n int) []string {
	var out []string
	for range n {
		seed = mix(seed)
		out = append(out, fmt.Sprintf("%x", seed>>44))
	}
	return out
}

// near changes words of a text from a place on.
func near(words []string, from, n int) string {
	out := append([]string{}, words...)
	copy(out[from:], text(999, n))
	return strings.Join(out, " ")
}

func pairs(t *testing.T, texts []string, threshold float64) ([]Pair, *Index) {
	t.Helper()
	x := New(1 << 20)
	for _, s := range texts {
		x.Add(s)
	}
	out, err := x.Pairs(threshold, func(want func(int) bool, give func(int, string)) error {
		for i, s := range texts {
			if want(i) {
				give(i, s)
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return out, x
}

// All pairs above the threshold are found, by brute force, and no others; twice the same.
func TestPairs(t *testing.T) {
	var texts []string
	for i := range 120 {
		words := text(uint64(i), 60)
		texts = append(texts, strings.Join(words, " "))
		switch i % 6 {
		case 0:
			texts = append(texts, strings.ToUpper(strings.Join(words, "\n"))) // the same but for case and space
		case 1:
			texts = append(texts, near(words, 20, 4))
		case 2:
			texts = append(texts, near(words, 10, 30))
		}
	}
	got, _ := pairs(t, texts, 0.8)
	twice, _ := pairs(t, texts, 0.8)
	if !reflect.DeepEqual(got, twice) {
		t.Error("another result the second time")
	}
	want, sets := 0, make([][]uint64, len(texts))
	for i, s := range texts {
		sets[i] = shingles(s)
	}
	for b := range sets {
		for a := range b {
			if jaccard(sets[a], sets[b]) >= 0.8 {
				want++
			}
		}
	}
	if len(got) != want || want != 40 {
		t.Errorf("%d pairs, by brute force %d", len(got), want)
	}
	for _, p := range got {
		if p.A >= p.B || p.Jaccard != jaccard(shingles(texts[p.A]), shingles(texts[p.B])) || p.Jaccard < 0.8 {
			t.Errorf("%+v", p)
		}
	}
}

// Languages without spaces are compared by characters, and short texts not at all.
func TestPairsOfScriptsAndShortTexts(t *testing.T) {
	long := "這是一個關於數據的例子，它足夠長，可以與其他文本進行比較，而不僅僅是偶然相似。"
	texts := []string{long, "短", "短", long + "是", "hello there", "hello there", ""}
	got, _ := pairs(t, texts, 0.8)
	if len(got) != 1 || got[0].A != 0 || got[0].B != 3 {
		t.Errorf("%+v", got)
	}
}

func TestRoom(t *testing.T) {
	x := New(2)
	for _, want := range []int{0, 1, -1, -1} {
		if got := x.Add("a text that is long enough to have twenty shingles"); got != want {
			t.Errorf("number %d, want %d", got, want)
		}
	}
	if x.Left != 2 {
		t.Errorf("%d left", x.Left)
	}
}

func BenchmarkAdd(b *testing.B) {
	s := strings.Join(text(1, 400), " ")
	b.SetBytes(int64(len(s)))
	for b.Loop() {
		New(1).Add(s)
	}
}
