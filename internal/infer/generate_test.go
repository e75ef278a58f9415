package infer

import (
	"errors"
	"math"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"concord/internal/fault"
)

func TestScoreRefuses(t *testing.T) {
	base, d := tiny(t)
	for _, c := range []struct {
		ids  []uint32
		says string
	}{
		{[]uint32{1}, "needs two"}, {[]uint32{1, 258}, "258"}, {make([]uint32, 65), "64"},
	} {
		if _, err := Score(base, [][]uint32{{1, 2}, c.ids}, d); !errors.Is(err, fault.ErrData) || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%v: %v, want a data error with %q", c.ids, err, c.says)
		}
	}
}

func TestGenerate(t *testing.T) {
	base, d := tiny(t)
	generate := func(g Generation) (*Generated, string) {
		t.Helper()
		var stream strings.Builder
		g.Stream = &stream
		if g.TopP == 0 {
			g.TopP = 1
		}
		out, err := Generate(base, g, d)
		if err != nil {
			t.Fatal(err)
		}
		if stream.String() != g.Prompt+out.Text {
			t.Errorf("streamed %q, returned %q after the prompt", stream.String(), out.Text)
		}
		return out, stream.String()
	}
	hot := Generation{Prompt: "Aa:", MaxTokens: 40, Temperature: 1, Seed: 5}
	a, _ := generate(hot)
	if b, _ := generate(hot); !reflect.DeepEqual(a, b) {
		t.Errorf("the same seed gave %q and %q", a.Text, b.Text)
	}
	if want := []uint32{32, 64, 25}; !slices.Equal(a.Prompt, want) { // the table begins with '!'
		t.Errorf("the prompt became %v, want the three bytes %v", a.Prompt, want)
	}
	hot.Seed = 6
	if b, _ := generate(hot); slices.Equal(a.IDs, b.IDs) {
		t.Error("another seed gave the same text")
	}
	// The likeliest token does not depend on the seed, and is what is left of
	// top-p as p goes to nothing.
	cold := Generation{Prompt: "Aa:", MaxTokens: 6, Seed: 1}
	c, _ := generate(cold)
	cold.Seed, cold.Temperature, cold.TopP = 2, 3, 1e-9
	if d, _ := generate(cold); !slices.Equal(c.IDs, d.IDs) {
		t.Errorf("temperature 0 gave %v, top-p 1e-9 %v", c.IDs, d.IDs)
	}
	// A stop text cuts, wherever the tokens' borders are.
	text := []rune(a.Text)
	hot.Seed = 5
	hot.Stop = []string{string(text[2:4])}
	s, _ := generate(hot)
	if want, _, _ := strings.Cut(a.Text, hot.Stop[0]); s.Stopped != "stop" || s.Text != want {
		t.Errorf("stop at %q gave %q (%s), want %q", hot.Stop, s.Text, s.Stopped, want)
	}
	if a.Stopped == "length" && len(a.IDs) != 40 {
		t.Errorf("%d tokens, want 40", len(a.IDs))
	}
}

func TestGenerateRefuses(t *testing.T) {
	base, d := tiny(t)
	for _, g := range []Generation{
		{Prompt: "a", MaxTokens: 1, TopP: 0}, {Prompt: "a", MaxTokens: 1, TopP: math.NaN()}, {Prompt: "a", MaxTokens: 0, TopP: 1},
		{Prompt: "a", MaxTokens: 1, TopP: 1, Temperature: -1}, {Prompt: "a", MaxTokens: 1, TopP: 1, Temperature: math.NaN()},
	} {
		var conf *fault.Usage
		if _, err := Generate(base, g, d); !errors.As(err, &conf) {
			t.Errorf("%+v: %v, want a configuration error", g, err)
		}
	}
	for says, g := range map[string]Generation{
		"UTF-8": {Prompt: "caf\xe9", MaxTokens: 1, TopP: 1}, "64": {Prompt: "a", MaxTokens: 100, TopP: 1},
	} {
		if _, err := Generate(base, g, d); !errors.Is(err, fault.ErrData) || !strings.Contains(err.Error(), says) {
			t.Errorf("%+v: %v, want a data error with %q", g, err, says)
		}
	}
	if _, err := Generate(filepath.Join(base, "nowhere"), Generation{Prompt: "a", MaxTokens: 1, TopP: 1}, d); !errors.Is(err, fault.ErrData) {
		t.Errorf("no model: %v", err)
	}
}

// stopWriter passes text on as soon as it cannot be the beginning of a stop text.
func TestStopWriter(t *testing.T) {
	for _, c := range []struct {
		stops  []string
		pieces []string
		sent   []string // what has been passed on after each piece
		text   string
		found  bool
	}{
		{nil, []string{"ab", "c"}, []string{"ab", "abc"}, "abc", false},
		{[]string{"END"}, []string{"aE", "N", "Dx"}, []string{"a", "a", "a"}, "a", true},
		{[]string{"END"}, []string{"aE", "Nx", "E"}, []string{"a", "aENx", "aENx"}, "aENxE", false},
		{[]string{"END", "b"}, []string{"xEN", "Db"}, []string{"x", "x"}, "x", true},
		{[]string{"\n\n"}, []string{"é\n", "é\n\n"}, []string{"é", "é"}, "é\né", true},
		{[]string{"aab"}, []string{"aa", "ab"}, []string{"", "a"}, "a", true},
		{[]string{""}, []string{"a"}, []string{"a"}, "a", false},
	} {
		var out strings.Builder
		w := &stopWriter{stops: c.stops, out: &out}
		found := false
		for i, p := range c.pieces {
			if found = w.write(p); !found && out.String() != c.sent[i] {
				t.Errorf("%q: %q were passed on after %q, want %q", c.stops, out.String(), c.pieces[:i+1], c.sent[i])
			}
		}
		if text := w.close(); text != c.text || out.String() != text || found != c.found {
			t.Errorf("%q in %q: %q, passed on %q, found %v; want %q, %v", c.stops, c.pieces, text, out.String(), found, c.text, c.found)
		}
	}
}

// sample on given logits: the set of top-p, ties, and the shares drawn.
func TestSample(t *testing.T) {
	logits := []float32{1, 3, 3, 0}
	if got := sample(logits, Generation{}, 0); got != 1 {
		t.Errorf("the likeliest of %v is %d, want the lower id of the tie, 1", logits, got)
	}
	count := map[uint32]int{}
	const n = 20000
	for step := range n {
		count[sample(logits, Generation{Temperature: 1, TopP: 1, Seed: 9}, step)]++
	}
	sum := math.Exp(1) + 2*math.Exp(3) + 1
	for id, l := range logits {
		want := n * math.Exp(float64(l)) / sum
		if got := float64(count[uint32(id)]); math.Abs(got-want) > 5*math.Sqrt(want) {
			t.Errorf("token %d drawn %v times of %d, want about %.0f", id, got, n, want)
		}
	}
	for step := range 1000 {
		if id := sample(logits, Generation{Temperature: 1, TopP: 0.7, Seed: 9}, step); id != 1 && id != 2 {
			t.Fatalf("top-p 0.7 drew token %d, outside of the two that hold it", id)
		}
	}
	broken := []float32{float32(math.NaN()), 1, 2}
	if id := sample(broken, Generation{Temperature: 1, TopP: 0.5, Seed: 9}, 0); id > 2 { // a device may give anything: no panic
		t.Errorf("of values that are not numbers token %d was drawn", id)
	}
}
