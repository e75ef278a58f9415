package train

import (
	"context"
	"errors"
	"io"
	"math"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"concord/internal/config"
	"concord/internal/data"
	"concord/internal/train/traintest"
)

// What the run printed in its closing table, eval must find again in the saved
// model, and score must add up to it.
func TestEvalAndScoreAgreeWithTheClosingTable(t *testing.T) {
	cfg := tiny(t)
	sum, err := Run(context.Background(), cfg, UI{Out: io.Discard})
	if err != nil {
		t.Fatal(err)
	}
	before, err := Evaluate(context.Background(), cfg, "", UI{})
	if err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(before.Rows, sum.Before.Rows) {
		t.Errorf("before: eval says\n%+v, the run said\n%+v", before.Rows, sum.Before.Rows)
	}
	for _, dir := range []string{sum.Dir, sum.Model} {
		after, err := Evaluate(context.Background(), cfg, dir, UI{})
		if err != nil {
			t.Fatal(err)
		}
		after.Relate(&before)
		for i, got := range after.Rows {
			want := sum.After.Rows[i]
			if a, b := got.Change, want.Change; a == nil || b == nil || math.Abs(float64(a.Low-b.Low)) > 1e-6 || math.Abs(float64(a.High-b.High)) > 1e-6 || !(a.Low < a.Value && a.Value < a.High) {
				t.Errorf("change of %s: eval says %+v, the run said %+v", got.Lang, a, b) // the run keeps its first evaluation as float32
			}
			got.Change, want.Change = nil, nil
			if !reflect.DeepEqual(got, want) {
				t.Errorf("after: eval of %s says\n%+v, the run said\n%+v", dir, got, want)
			}
		}
	}
	c, err := openCorpus(cfg)
	if err != nil {
		t.Fatal(err)
	}
	for i, set := range c.sets {
		var ids [][]uint32
		var held []data.Example
		for k := range set.Heldout.Len() {
			e, err := set.Heldout.At(k)
			if err != nil {
				t.Fatal(err)
			}
			held, ids = append(held, e), append(ids, e.IDs)
		}
		nll, err := Score(sum.Model, ids, cfg.Device, io.Discard)
		if err != nil {
			t.Fatal(err)
		}
		total := 0.0
		for k, e := range held {
			for j, v := range nll[k] {
				if e.Mask[j+1] {
					total += float64(v)
				}
			}
		}
		if want := float64(sum.After.Rows[i].NLL); math.Abs(total-want) > 1e-4*want {
			t.Errorf("%s: score adds up to %v nats, eval to %v", set.Lang, total, want)
		}
	}
}

// A model that was better on the way than at the end is kept beside the last.
func TestBestModel(t *testing.T) {
	cfg := tiny(t, "optim.lr=0.2", "optim.clip=0.0", "schedule.kind=constant", "schedule.warmup=0", "schedule.steps=12", "eval.every=3", "checkpoint.every=1", "checkpoint.keep=1")
	sum, err := Run(context.Background(), cfg, UI{Out: io.Discard})
	if err != nil {
		t.Fatal(err)
	}
	best, at := math.Inf(1), 0.0
	var rows []any
	for _, r := range traintest.Records(t, sum.Dir) {
		if r["kind"] != "eval" || r["step"] == 0.0 {
			continue
		}
		mean := 0.0
		for _, l := range r["rows"].([]any) {
			if l := l.(map[string]any); l["seen"] == true {
				mean += l["bits_per_byte"].(float64) / float64(len(traintest.Langs))
			}
		}
		if mean < best {
			best, at, rows = mean, r["step"].(float64), r["rows"].([]any)
		}
	}
	if at == 12 {
		t.Fatalf("the last model is the best one (%v): the fixture does not test this", best)
	}
	if sum.End.Best == "" {
		t.Fatalf("the model of step %v was better (%v), but is not kept", at, best)
	}
	e, err := Evaluate(context.Background(), cfg, sum.End.Best, UI{})
	if err != nil {
		t.Fatal(err)
	}
	for i, r := range e.Rows {
		if want := rows[i].(map[string]any)["nll"]; float64(r.NLL) != want {
			t.Errorf("%s: the best model has %v nats, at step %v it had %v", r.Lang, r.NLL, at, want)
		}
	}
}

func TestScoreRefuses(t *testing.T) {
	cfg := tiny(t)
	base := cfg.Resolve("base")
	for _, c := range []struct {
		ids  []uint32
		says string
	}{
		{[]uint32{1}, "needs two"}, {[]uint32{1, 258}, "258"}, {make([]uint32, 65), "64"},
	} {
		if _, err := Score(base, [][]uint32{{1, 2}, c.ids}, cfg.Device, io.Discard); !errors.Is(err, ErrData) || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%v: %v, want a data error with %q", c.ids, err, c.says)
		}
	}
}

func TestGenerate(t *testing.T) {
	cfg := tiny(t)
	base := cfg.Resolve("base")
	generate := func(g Generation) (*Generated, string) {
		t.Helper()
		var stream strings.Builder
		g.Stream = &stream
		if g.TopP == 0 {
			g.TopP = 1
		}
		out, err := Generate(base, g, cfg.Device, io.Discard)
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
	cfg := tiny(t)
	base := cfg.Resolve("base")
	for _, g := range []Generation{
		{Prompt: "a", MaxTokens: 1, TopP: 0}, {Prompt: "a", MaxTokens: 1, TopP: math.NaN()}, {Prompt: "a", MaxTokens: 0, TopP: 1},
		{Prompt: "a", MaxTokens: 1, TopP: 1, Temperature: -1}, {Prompt: "a", MaxTokens: 1, TopP: 1, Temperature: math.NaN()},
	} {
		var conf *config.Error
		if _, err := Generate(base, g, cfg.Device, io.Discard); !errors.As(err, &conf) {
			t.Errorf("%+v: %v, want a configuration error", g, err)
		}
	}
	for says, g := range map[string]Generation{
		"UTF-8": {Prompt: "caf\xe9", MaxTokens: 1, TopP: 1}, "64": {Prompt: "a", MaxTokens: 100, TopP: 1},
	} {
		if _, err := Generate(base, g, cfg.Device, io.Discard); !errors.Is(err, ErrData) || !strings.Contains(err.Error(), says) {
			t.Errorf("%+v: %v, want a data error with %q", g, err, says)
		}
	}
	if _, err := Generate(filepath.Join(base, "nowhere"), Generation{Prompt: "a", MaxTokens: 1, TopP: 1}, cfg.Device, io.Discard); !errors.Is(err, ErrData) {
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
}
