package tokenizer

import (
	"math/rand/v2"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

var trainTexts = []string{
	"the cat sat on the mat, the rat sat on the cat.",
	"el gato y la gata; el perro y la perra. ¿Qué tal?",
	"кот сидит на коврике, кот спит.",
	"猫坐在垫子上。猫在睡觉。",
	"don't can't won't it's 2024 12345 3.14\r\n\t  end",
	"aaaa aaa aaaaaa abababab",
}

func TestTrainRoundTrip(t *testing.T) {
	for _, pattern := range []string{"", PatternLlama3, PatternQwen2, PatternQwen35} {
		tok, err := Train(slices.Values(trainTexts), TrainOptions{VocabSize: 320, Specials: []string{BOSToken, EOSToken}, Pattern: pattern})
		if err != nil {
			t.Fatal(err)
		}
		if tok.VocabSize() != 320 {
			t.Errorf("pattern %q: %d ids, want 320", pattern, tok.VocabSize())
		}
		bos, ok := tok.BOS()
		eos, ok2 := tok.EOS()
		if !ok || !ok2 || bos != 318 || eos != 319 {
			t.Errorf("bos %d %v eos %d %v, want 318 and 319", bos, ok, eos, ok2)
		}
		for _, s := range append([]string{"never seen: ßẞ 🙂 \x00", ""}, trainTexts...) {
			ids, err := tok.Encode(s, true)
			if err != nil {
				t.Fatal(err)
			}
			if got := tok.Decode(ids, true); got != s {
				t.Errorf("pattern %q: decode(encode(%q)) = %q", pattern, s, got)
			}
		}
		path := filepath.Join(t.TempDir(), "tokenizer.json")
		if err := tok.Save(path); err != nil {
			t.Fatal(err)
		}
		if err := tok.SaveConfig(filepath.Join(filepath.Dir(path), "tokenizer_config.json")); err != nil {
			t.Fatal(err)
		}
		again, err := Load(path)
		if err != nil {
			t.Fatal(err)
		}
		stop, err := again.StopTokens(filepath.Dir(path))
		if err != nil || again.config != (names{BOSToken, EOSToken}) || !slices.Equal(stop, []uint32{eos}) {
			t.Errorf("reloaded names %v, stop tokens %v, %v", again.config, stop, err)
		}
		a, _ := tok.Encode(trainTexts[0], false)
		b, _ := again.Encode(trainTexts[0], false)
		if !slices.Equal(a, b) {
			t.Errorf("reloaded tokenizer gives %v, want %v", b, a)
		}
	}
}

// The order of the texts must not matter, and each merge must be the most
// frequent pair as a naive recount sees it.
func TestTrainMatchesNaive(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	for range 20 {
		var texts []string
		for range 12 {
			var b strings.Builder
			for range 1 + rng.IntN(30) {
				b.WriteByte("aab b"[rng.IntN(5)])
			}
			texts = append(texts, b.String())
		}
		const size = 256 + 12
		tok, err := Train(slices.Values(texts), TrainOptions{VocabSize: size})
		if err != nil {
			t.Fatal(err)
		}
		slices.Reverse(texts)
		other, err := Train(slices.Values(texts), TrainOptions{VocabSize: size})
		if err != nil {
			t.Fatal(err)
		}
		if string(tok.Bytes()) != string(other.Bytes()) {
			t.Fatalf("the order of the texts matters: %q", texts)
		}
		want := naiveTokens(texts, size)
		for id := range want {
			if got, _ := tok.IDToToken(uint32(id)); got != string(appendByteRunes(nil, want[id])) {
				t.Fatalf("texts %q: token %d is %q, want %q", texts, id, got, want[id])
			}
		}
	}
}

// naiveTokens trains by recounting all pairs at each step.
func naiveTokens(texts []string, size int) []string {
	var tokens []string
	ids := map[string]int{}
	for _, b := range alphabet() {
		ids[string([]byte{b})] = len(tokens)
		tokens = append(tokens, string([]byte{b}))
	}
	var words [][]int
	for _, s := range texts {
		for i := 0; i < len(s); {
			end := scanGPT2(s, i)
			var w []int
			for ; i < end; i++ {
				w = append(w, ids[s[i:i+1]])
			}
			words = append(words, w)
		}
	}
	for len(tokens) < size {
		counts := map[[2]int]int{}
		for _, w := range words {
			for i := range len(w) - 1 {
				counts[[2]int{w[i], w[i+1]}]++
			}
		}
		best := [2]int{1 << 30, 0}
		for p, n := range counts {
			if m := counts[best]; n > m || n == m && (p[0] < best[0] || p[0] == best[0] && p[1] < best[1]) {
				best = p
			}
		}
		token := tokens[best[0]] + tokens[best[1]]
		id, ok := ids[token]
		if !ok {
			id = len(tokens)
			ids[token] = id
			tokens = append(tokens, token)
		}
		for k, w := range words {
			var out []int
			for i := 0; i < len(w); i++ {
				if i+1 < len(w) && w[i] == best[0] && w[i+1] == best[1] {
					out = append(out, id)
					i++
				} else {
					out = append(out, w[i])
				}
			}
			words[k] = out
		}
	}
	return tokens
}

func TestTrainRefuses(t *testing.T) {
	cases := []struct {
		name string
		text string
		o    TrainOptions
		want string
	}{
		{"too small", "ab", TrainOptions{VocabSize: 100}, "VocabSize 100"},
		{"too little text", "ab", TrainOptions{VocabSize: 300}, "for 257 tokens only"},
		{"bad text", "a\xffb", TrainOptions{VocabSize: 256}, "byte 1 (0xff)"},
		{"bad pattern", "ab", TrainOptions{VocabSize: 256, Pattern: `\w+`}, "unknown pattern"},
		{"repeated special", "ab", TrainOptions{VocabSize: 258, Specials: []string{"<x>", "<x>"}}, "repeated"},
		{"min count", "ab ab", TrainOptions{VocabSize: 257, MinCount: 3}, "256 tokens only"},
	}
	for _, c := range cases {
		_, err := Train(slices.Values([]string{c.text}), c.o)
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: error %v, want one that holds %q", c.name, err, c.want)
		}
	}
}
