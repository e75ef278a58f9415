package report

import (
	"bytes"
	"encoding/json"
	"errors"
	"maps"
	"math"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode/utf8"
)

func header() Header {
	return Header{Name: "names8", Dir: "runs/names8", Model: "base, 4 layers", Parameters: 1_234_567, Device: "llvmpipe",
		Backend: "vulkan", Software: true,
		Budget: 4 << 30, Planned: 63 << 20, Method: "pcgrad", Scope: "layer", Buckets: 6, Rows: 16, SeqLen: 128, Steps: 200,
		Languages: []string{"sw", "zu"}, Packing: 0.934, Met: 0.97, Warnings: []string{"sw: nothing\nfix: something"},
		Data: []Data{
			{Lang: "sw", Seen: true, Documents: 1100, Examples: 1200, Heldout: 100, Tokens: 24000, Supervised: 9000, Epochs: 2.345, Met: 0.876, TooLong: 3, Overlong: "dropped", Rendering: "rendered by chat_template.jinja", NoTools: 2, Notes: []string{"2 of 100 held-out examples are also trained on"}},
			{Lang: "de", Heldout: 40, Empty: 1},
		}}
}

func step(n int) Step {
	return Step{Step: n, Steps: 200, Loss: 2.5, LossByLang: map[string]Float{"sw": 2.1, "zu": 2.9}, GradNorm: 1.234, Pairs: 6,
		NegativePairs: 2, Tokens: 2048, Seconds: 0.5,
		TokensByLang: map[string]int{"sw": 10, "zu": 12}, Cosines: []Float{0.1}}
}

func eval(step int, sw, de float64) Eval {
	return Eval{Step: step, Seconds: 1.5, Rows: []EvalRow{{Lang: "sw", Seen: true, BitsPerByte: Float(sw)},
		{Lang: "de", BitsPerByte: Float(de)}}}
}

// measured is an evaluation of documents of one byte each with so many bits.
func measured(step int, byLang map[string][]float64) Eval {
	e := Eval{Step: step}
	for _, lang := range slices.Sorted(maps.Keys(byLang)) {
		r := EvalRow{Lang: lang, Seen: lang != "de", Examples: len(byLang[lang]), BitsPerByte: Float(math.NaN())}
		sum := 0.0
		for _, bits := range byLang[lang] {
			r.Docs = append(r.Docs, Doc{NLL: bits * math.Ln2, Bytes: 1})
			sum += bits
		}
		if r.Examples > 0 {
			r.BitsPerByte = Float(sum / float64(r.Examples))
		}
		e.Rows = append(e.Rows, r)
	}
	return e
}

// The header says model, device, memory, method, batch and data per language,
// and what was left out of the data.
func TestHeader(t *testing.T) {
	var out bytes.Buffer
	New(Options{Out: &out}).Begin(header())
	for _, want := range []string{
		"names8 → runs/names8", "1.23M parameters", "llvmpipe (software, on the CPU), vulkan", "63.0 MiB of tensors, budget 4.0 GiB",
		"pcgrad, scope layer: 6 buckets, 2 languages", "16 rows × 128 tokens, 93% filled; 200 steps, 0.0 epochs; 97% of the steps hold two languages or more", "below 0 they conflict",
		" !       sw: nothing\n         fix: something",
		" chat    rendered by chat_template.jinja (sw)\n", "2 conversations with tools of which the chat template says nothing: they are not in the text (sw: 2)",
		"sw           1,100  24,000   9,000   38%    2.3      100         88%", "de                                                    40 not trained",
		"         examples, where long documents are split into several (sw: 1,200)\n",
		"3 documents longer than data.max_len: dropped (sw: 3)", "sw: 2 of 100 held-out examples are also trained on", "1 document empty: dropped (de: 1)",
	} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("the header lacks %q:\n%s", want, out.String())
		}
	}
}

// Where languages are rendered differently, each way is named with its languages; of one thing
// there is no plural; further lines of a note stand below its first.
func TestHeaderOfOne(t *testing.T) {
	var out bytes.Buffer
	r := New(Options{Out: &out})
	r.Begin(Header{Buckets: 1, Rows: 1, SeqLen: 8, Steps: 1, Languages: []string{"sw"}, Data: []Data{
		{Lang: "sw", Seen: true, Documents: 2, Examples: 2, Rendering: "one way"},
		{Lang: "tr", Seen: true, Documents: 3, Examples: 3, Rendering: "another"}, {Lang: "zu", Seen: true, Rendering: "one way"}}})
	r.Note(Note{Text: "eval.error\nsw: little\n  fix: more"})
	r.End(End{Steps: 1})
	for _, want := range []string{": 1 bucket, 1 language\n", " step    1 row × 8 tokens", "; 1 step, 0.0 epochs", "\n 1 step, 0 tokens",
		" chat    one way (sw zu)\n chat    another (tr)\n", " note    eval.error\n         sw: little\n           fix: more\n"} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("lacks %q:\n%s", want, out.String())
		}
	}
	if strings.Contains(out.String(), "examples, where") {
		t.Errorf("nothing is split:\n%s", out.String())
	}
}

// Without a terminal: a whole line at the first and last step and every LogEvery.
func TestPlainLines(t *testing.T) {
	var out bytes.Buffer
	r := New(Options{Out: &out, LogEvery: 10})
	r.Begin(Header{Start: 3, Steps: 25})
	out.Reset()
	for n := 4; n <= 25; n++ {
		s := step(n)
		s.Steps = 25
		r.Step(s)
	}
	lines := strings.Split(strings.TrimSuffix(out.String(), "\n"), "\n")
	want := []string{"step 4/25  loss 2.500 (sw 2.10 … zu 2.90)  |g| 1.23  cos +0.100  4,096 tok/s  0.50s/step  ETA 10s",
		"step 10/25", "step 20/25", "step 25/25"}
	if len(lines) != len(want) {
		t.Fatalf("printed\n%s", out.String())
	}
	for i := range want {
		if !strings.HasPrefix(lines[i], want[i]) {
			t.Errorf("line %d is %q, want %q", i, lines[i], want[i])
		}
	}
	if strings.ContainsAny(out.String(), "\r\x1b") {
		t.Errorf("control characters in plain output: %q", out.String())
	}
	if strings.Contains(lines[3], "ETA") {
		t.Error("the last step has time left")
	}
}

// On a terminal: one line that is rewritten, never wider than the terminal, and
// gone before anything else is printed.
func TestLiveLine(t *testing.T) {
	for _, width := range []int{20, 40, 80, 200} {
		var out bytes.Buffer
		r := New(Options{Out: &out, Terminal: true, Width: width})
		r.Step(step(1))
		r.Step(step(2))
		r.Eval(eval(2, 3, 4))
		if n := strings.Count(out.String(), "\n"); n != 1 {
			t.Errorf("width %d: %d lines are left on the screen: %q", width, n, out.String())
		}
		parts := strings.Split(out.String(), "\r\x1b[K")
		if len(parts) != 4 || !strings.HasPrefix(parts[3], " eval") {
			t.Fatalf("width %d: %q", width, parts)
		}
		for _, line := range parts[1:3] {
			if n := utf8.RuneCountInString(line); n >= width || !strings.HasPrefix(line, "step ") {
				t.Errorf("width %d: %d columns: %q", width, n, line)
			}
		}
		if width >= 80 && !strings.Contains(parts[1], "ETA") { // 80 columns leave out the languages' spread instead
			t.Errorf("width %d: %q", width, parts[1])
		}
	}
}

// What is printed after a run, an error for instance, begins a line.
func TestCloseEndsTheLiveLine(t *testing.T) {
	var out bytes.Buffer
	r := New(Options{Out: &out, Terminal: true, Width: 80})
	r.Step(step(1))
	r.Close()
	r.Close()
	if !strings.HasSuffix(out.String(), "\n") || strings.Count(out.String(), "\n") != 1 {
		t.Errorf("%q", out.String())
	}
}

// Every line of metrics.jsonl is JSON with its kind and keys; what is not
// finite is null.
func TestMetrics(t *testing.T) {
	var out bytes.Buffer
	r := New(Options{JSONL: &out, Quiet: true})
	r.Begin(header())
	bad := step(1)
	bad.Loss, bad.LossByLang["zu"], bad.GradNorm = Float(math.NaN()), Float(math.Inf(1)), Float(math.Inf(-1))
	bad.Masked, bad.Buckets = []string{"zu"}, []Bucket{{Name: "layer 0", MinCosine: Float(math.NaN()), Weights: []float64{1, 0},
		Norms: []Float{1, Float(math.NaN())}}}
	r.Step(bad)
	r.Eval(eval(1, 3, math.NaN()))
	r.End(End{Steps: 1, BytesByRole: map[string]int64{"weights": 1}, Output: "m"})
	if r.Err() != nil {
		t.Fatal(r.Err())
	}
	keys := [][]string{
		{"kind", "version", "name", "dir", "model", "parameters", "device", "backend", "software", "memory_budget", "memory_planned", "method", "scope", "buckets", "rows", "seq_len", "steps", "start", "languages", "packing", "data"},
		{"kind", "step", "steps", "loss", "loss_by_lang", "tokens_by_lang", "grad_norm", "clip_scale", "lr", "negative_pairs", "pairs", "masked", "buckets", "tokens", "seconds", "total_tokens"},
		{"kind", "step", "rows", "seconds"},
		{"kind", "steps", "seconds", "tokens", "peak_bytes", "bytes_by_role", "output"},
	}
	kinds := []string{"header", "step", "eval", "end"}
	lines := bytes.Split(bytes.TrimSuffix(out.Bytes(), []byte("\n")), []byte("\n"))
	if len(lines) != len(kinds) {
		t.Fatalf("%d lines", len(lines))
	}
	for i, line := range lines {
		var got map[string]any
		if err := json.Unmarshal(line, &got); err != nil {
			t.Fatalf("%v in %s", err, line)
		}
		if got["kind"] != kinds[i] {
			t.Errorf("line %d is %v, want %s", i, got["kind"], kinds[i])
		}
		for _, k := range keys[i] {
			if _, ok := got[k]; !ok {
				t.Errorf("the %s lacks %q: %s", kinds[i], k, line)
			}
		}
	}
	for _, want := range []string{`"loss":null`, `"zu":null`, `"grad_norm":null`, `"min_cosine":null`, `"norms":[1,null]`} {
		if !bytes.Contains(lines[1], []byte(want)) {
			t.Errorf("the step lacks %s: %s", want, lines[1])
		}
	}
	var back Step
	if err := json.Unmarshal(lines[1], &back); err != nil || !math.IsNaN(float64(back.Loss)) || float64(back.LossByLang["sw"]) != 2.1 {
		t.Errorf("read back as %+v, %v", back, err)
	}
}

// failing is a disk that is full after n bytes.
type failing struct{ n int }

var errFull = errors.New("no space left on device")

func (f *failing) Write(p []byte) (int, error) {
	if f.n -= len(p); f.n < 0 {
		return 0, errFull
	}
	return len(p), nil
}

func TestWriteErrorIsKept(t *testing.T) {
	r := New(Options{JSONL: &failing{n: 600}, Quiet: true})
	for n := range 20 {
		r.Step(step(n + 1))
	}
	if !errors.Is(r.Err(), errFull) {
		t.Errorf("Err = %v", r.Err())
	}
}

const table = `
 held-out bits per byte (lower is better; change's 95% interval; n documents)
 language           before      after   change                        n
 sw       seen       3.000 →    1.500   -50.0% (-50.0 … -50.0)       30
 yo       seen           – →    2.000                                 2
 zu       seen    not measured: nothing is held out
 mean     seen           – →    1.750                            2 of 3
 de       unseen     4.000 →    4.100    +2.5% (-6.1 … +11.1)         4 ?
 mean     unseen     4.000 →    4.100    +2.5% (-6.1 … +11.1)         4 ?
 ?  may be chance: the interval holds 0
 !  few documents are held out (de: 4, yo: 2): their figures say little
    fix: a larger holdout, or heldout = "FILE", in [[data.source]]

 200 steps, 258,048 tokens, 100,000 of them trained on, in 3m10s; peak GPU memory 63.4 MiB (activations 40.0 MiB, weights 23.4 MiB)
 model in runs/names8/model
`

func TestClosingTable(t *testing.T) {
	var out bytes.Buffer
	r := New(Options{Out: &out})
	before := measured(0, map[string][]float64{"sw": slices.Repeat([]float64{2, 4}, 15), "zu": nil, "de": {3, 4, 5, 4}})
	after := measured(200, map[string][]float64{"sw": slices.Repeat([]float64{1, 2}, 15), "yo": {1, 3}, "zu": nil, "de": {3.4, 4, 5, 4}})
	after.Relate(&before)
	r.Compare(&before, &after)
	end := End{Steps: 200, Tokens: 258048, Supervised: 100_000, Seconds: 190, PeakBytes: 66479718, Output: "runs/names8/model",
		BytesByRole: map[string]int64{"weights": 24536678, "activations": 41943040, "rows": 0}}
	r.End(end)
	if out.String() != table {
		t.Errorf("got%s\nwant%s", out.String(), table)
	}
	out.Reset()
	r = New(Options{Out: &out})
	r.Eval(before)
	out.Reset()
	r.End(end)
	if strings.Contains(out.String(), "before") {
		t.Errorf("a table of one evaluation:\n%s", out.String())
	}
	quiet := New(Options{Out: &out, Quiet: true})
	out.Reset()
	quiet.Begin(header())
	quiet.Step(step(1))
	quiet.Eval(after)
	quiet.End(end)
	if out.Len() != 0 {
		t.Errorf("quiet, yet: %q", out.String())
	}
}

func TestFormats(t *testing.T) {
	for got, want := range map[string]string{
		Bytes(0): "0 B", Bytes(1023): "1023 B", Bytes(1024): "1.0 KiB", Bytes(1 << 20): "1.0 MiB", Bytes(1<<20 - 1): "1.0 MiB", Bytes(3 << 40): "3.0 TiB", Bytes(5000 << 40): "5000.0 TiB",
		Count(0): "0", Count(999): "999", Count(1000): "1,000", Count(999_999): "999,999", Count(1_240_000): "1.24M", Count(3_000_000_000): "3.00B", Count(-1500): "-1,500",
		Duration(1500 * time.Millisecond): "1.5s", Duration(42 * time.Second): "42s", Duration(190 * time.Second): "3m10s", Duration(84 * time.Minute): "1h24m",
		truncate("abc", 3): "abc", truncate("abcd", 3): "ab…", truncate("→→→→", 2): "→…",
	} {
		if got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
	if m := eval(0, 3, 4).Mean(true); m != 3 {
		t.Errorf("mean of the seen: %v", m)
	}
	if m := (Eval{}).Mean(true); !math.IsNaN(m) {
		t.Errorf("mean of none: %v", m)
	}
	if s := EvalTable(eval(0, 3, 4)); !strings.Contains(s, " sw       seen        3.000") ||
		!strings.Contains(s, " mean     unseen      4.000") {
		t.Errorf("evaluation:\n%s", s)
	}
}

// A long evaluation says how far it is: in the live line, or a line now and then.
func TestEvaluating(t *testing.T) {
	var out bytes.Buffer
	r := New(Options{Out: &out, Terminal: true, Width: 60})
	r.Evaluating(Progress{Step: 7, Done: 1, Of: 4, Docs: 1200})
	r.Evaluating(Progress{Step: 7, Done: 4, Of: 4, Docs: 1200})
	if got := out.String(); !strings.Contains(got, "evaluating step 7: 25% of 1,200 documents") || !strings.HasSuffix(got, "\r\x1b[K") {
		t.Errorf("on a terminal: %q", got)
	}
	out.Reset()
	r = New(Options{Out: &out})
	for done := range 3 {
		r.Evaluating(Progress{Step: 7, Done: done, Of: 4, Docs: 1200})
	}
	if out.Len() > 0 {
		t.Errorf("a short one: %q", out.String())
	}
	r.said = time.Now().Add(-2 * evaluationPatience)
	r.Evaluating(Progress{Step: 7, Done: 3, Of: 4, Docs: 1200})
	if got := out.String(); got != " eval    evaluating step 7: 75% of 1,200 documents\n" {
		t.Errorf("a long one: %q", got)
	}
	e := measured(3, map[string][]float64{"sw": {2, 4}})
	e.Relate(nil)
	out.Reset()
	r.Eval(e)
	if got := out.String(); !strings.Contains(got, "step 3: mean bits per byte, seen 3.000 (") || strings.Contains(got, "unseen") {
		t.Errorf("evaluated: %q", got)
	}
	out.Reset()
	r.Eval(measured(3, map[string][]float64{"sw": nil}))
	if got := out.String(); !strings.Contains(got, "nothing is held out") {
		t.Errorf("nothing: %q", got)
	}
}
