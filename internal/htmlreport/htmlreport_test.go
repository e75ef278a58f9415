package htmlreport

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"concord/internal/report"
)

// nasty is a name that must never be markup or script.
const nasty = `</script><b onload="x">"' עברית 🜁`

// sample writes a run's metrics: two buckets, three languages, steps of pcgrad
// with snapshots and probes.
// sixteen is a run of sixteen languages, of which the last is in every seventh step
// only, and the first two conflict.
func sixteen(t testing.TB) string {
	t.Helper()
	dir := t.TempDir()
	var b bytes.Buffer
	put := func(x any) {
		if err := report.WriteJSON(&b, x); err != nil {
			t.Fatal(err)
		}
	}
	var langs []string
	for i := range 16 {
		langs = append(langs, fmt.Sprintf("l%02d", i))
	}
	put(report.Header{Kind: "header", Name: "sixteen", Method: "pcgrad", Languages: langs, Steps: 70,
		Settings: []report.Setting{{Key: "optim.lr", Value: "0.001"}}, Warnings: []string{"a warning"}})
	for s := 1; s <= 70; s++ {
		r := report.Step{Kind: "step", Step: s, Steps: 70, LossByLang: map[string]report.Float{}, Tokens: 48, Seconds: 0.5,
			LR: report.Float(1e-4 * float64(71-s)), GradNorm: 2}
		bucket := report.Bucket{Name: "layer 0", Pairs: 120, NegativePairs: 60}
		for i, l := range langs {
			weight := 1.0
			if i == 15 && s%7 != 0 {
				weight = 0
			} else {
				r.LossByLang[l] = report.Float(4 - float64(i)/20 - float64(s)/50)
			}
			bucket.Weights = append(bucket.Weights, weight)
			for j := range i {
				r.Cosines = append(r.Cosines, report.Float(0.3*math.Sin(float64(s*s*(i+16*j)))))
			}
		}
		r.Cosines[0] -= 0.4
		r.Buckets = []report.Bucket{bucket}
		put(r)
		if s%10 == 0 {
			g := report.Gram{Kind: "gram", Step: s}
			x := report.GramBucket{Name: "layer 0"}
			for i := range 16 {
				for j := range i + 1 {
					x.G = append(x.G, map[bool]report.Float{true: 1, false: 0.1}[i == j])
				}
			}
			g.Buckets = append(g.Buckets, x)
			put(g)
		}
	}
	if err := os.WriteFile(filepath.Join(dir, "metrics.jsonl"), b.Bytes(), 0o600); err != nil {
		t.Fatal(err)
	}
	return dir
}

// A language's weight is averaged over the steps that had it.
func TestWeightsOfARareLanguage(t *testing.T) {
	f := load(t, sixteen(t))
	there := 0
	for k, w := range f.Weights[0][15] {
		if (k+1)%7 == 0 {
			there++
			if w != 1 {
				t.Errorf("point %d: weight %v", k, w)
			}
		} else if !math.IsNaN(float64(w)) {
			t.Errorf("point %d: weight %v in a step without the language", k, w)
		}
	}
	if there != 10 || len(f.LR) != 70 || f.LR[0] != 0.007 || f.GradNorm[5] != 2 {
		t.Errorf("%d points; lr %v", there, f.LR[:1])
	}
	if len(f.Cosines) != 2 || !(f.Cosines[0].Pairs[0].High < 0) || !(f.Cosines[0].Pairs[5].High > 0) {
		t.Errorf("cosines over the run: %+v", f.Cosines)
	}
}

func sample(t testing.TB, steps int, extra ...string) string {
	t.Helper()
	dir := t.TempDir()
	var b bytes.Buffer
	put := func(x any) {
		if err := report.WriteJSON(&b, x); err != nil {
			t.Fatal(err)
		}
	}
	langs := []string{"aa", "bb", nasty}
	put(report.Header{Kind: "header", Version: "test", Name: nasty, Model: "m", Device: "d", Method: "pcgrad", Scope: "layer",
		Languages: langs, Steps: steps, Rows: 3, SeqLen: 16})
	eval := func(step int) {
		e := report.Eval{Kind: "eval", Step: step}
		for i, l := range append(langs, "unseen") {
			e.Rows = append(e.Rows, report.EvalRow{Lang: l, Seen: i < 3, BitsPerByte: report.Float(3 - 0.1*float64(i) - float64(step)/100),
				Examples: 1207, Change: &report.Estimate{Value: -.1, Low: -1, High: .612}})
		}
		put(e)
	}
	eval(0)
	for s := 1; s <= steps; s++ {
		loss, tokens := map[string]report.Float{}, map[string]int{}
		for i, l := range langs {
			loss[l], tokens[l] = report.Float(3+0.1*float64(i)-float64(s)/50), 10+i
		}
		r := report.Step{Kind: "step", Step: s, Steps: steps, LossByLang: loss, TokensByLang: tokens, Tokens: 48, Seconds: 0.5,
			TotalTokens: int64(48 * s)}
		for _, name := range []string{"layer 1", "layer 0"} {
			r.Buckets = append(r.Buckets, report.Bucket{Name: name, NegativePairs: s % 4, Pairs: 3, Weights: []float64{.5, .3, .2},
				Norms: []report.Float{1, 2, 3}})
		}
		put(r)
		if s%3 == 0 {
			g := report.Gram{Kind: "gram", Step: s, Metric: "euclidean"}
			for k, name := range []string{"layer 1", "layer 0"} {
				c := report.Float(float64(s)/float64(steps) - float64(k))
				g.Buckets = append(g.Buckets, report.GramBucket{Name: name, G: []report.Float{1, c, 4, 0, -c, 9},
					Weights: []float64{.5, .3, .2}, SelfCosine: []report.Float{.2, .3, report.Float(math.NaN())},
					Contrast: []report.Float{0, .3, 0, .4, 0, .1, 0, .1, 0}})
			}
			put(g)
			p := report.Probe{Kind: "probe", Step: s, Predicted: map[string]report.Float{}, Realised: map[string]report.Float{},
				Phases: map[string]float64{"forward": .1, "backward": .3}}
			for _, l := range langs {
				p.Predicted[l], p.Realised[l] = -0.01*report.Float(s), -0.009*report.Float(s)
			}
			put(p)
		}
	}
	eval(steps)
	put(report.End{Kind: "end", Steps: steps, Seconds: 9, BytesByRole: map[string]int64{"weights": 1 << 20, "rows": 1 << 21}})
	for _, line := range extra {
		b.WriteString(line + "\n")
	}
	if err := os.WriteFile(filepath.Join(dir, "metrics.jsonl"), b.Bytes(), 0o600); err != nil {
		t.Fatal(err)
	}
	return dir
}

func load(t testing.TB, dir string) *Figures {
	t.Helper()
	r, err := Load(dir)
	if err != nil {
		t.Fatal(err)
	}
	return Derive(r)
}

func html(t testing.TB, f *Figures) []byte {
	t.Helper()
	b, err := f.HTML()
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// Angle, length, gap and cosines of gradients that can be written down:
// g = (2,0), (0,1), d = ½ g₁ + ½ g₂ = (1, ½) is the mean itself; d = g₁ is
// atan(½) away and 2/√1.25 as long; the hull's shortest vector is (0.4, 0.8).
func TestDerived(t *testing.T) {
	lower := []report.Float{4, 0, 1}
	for _, c := range []struct {
		weights      []float64
		angle, ratio float64
	}{{[]float64{.5, .5}, 0, 1}, {[]float64{1, 0}, math.Atan(.5) * 180 / math.Pi, 2 / math.Sqrt(1.25)}} {
		s := derive(report.Gram{Step: 1, Buckets: []report.GramBucket{{Name: "b", G: lower, Weights: c.weights}}}, 2)
		b := s.Buckets[0]
		if math.Abs(float64(b.Angle)-c.angle) > 1e-3 || math.Abs(float64(b.Ratio)-c.ratio) > 1e-4 {
			t.Errorf("weights %v: angle %v, ratio %v, want %v and %v", c.weights, b.Angle, b.Ratio, c.angle, c.ratio)
		}
		if want := math.Sqrt(.8) / 1.5; math.Abs(float64(b.Gap)-want) > 1e-4 || b.Gap != s.Gap {
			t.Errorf("gap %v, of the whole %v, want %v", b.Gap, s.Gap, want)
		}
	}
	// Opposed in one bucket, alike in the other: the sum of the Grams decides.
	s := derive(report.Gram{Buckets: []report.GramBucket{{G: []report.Float{1, -1, 1}}, {G: []report.Float{3, 3, 3}}}}, 2)
	if s.Buckets[0].Gap != 0 || s.Buckets[0].Cosines[1] != -1 || s.Cosines[1] != .5 || s.Gap == 0 {
		t.Errorf("snapshot %+v", s)
	}
	// A damaged language is left out, and takes no other with it.
	nan := report.Float(math.NaN())
	s = derive(report.Gram{Buckets: []report.GramBucket{{G: []report.Float{4, nan, nan, 0, nan, 1}, Weights: []float64{.5, 0, .5}}}}, 3)
	if b := s.Buckets[0]; b.Angle != 0 || b.Ratio != 1 || finite(float64(b.Cosines[1])) || b.Cosines[2] != 0 {
		t.Errorf("with a NaN: %+v", b)
	}
}

func TestSeries(t *testing.T) {
	f := load(t, sample(t, 12))
	if f.Every != 1 || len(f.Steps) != 12 || f.Conflict[0][2] != report.Float(1) || f.Conflict[1][3] != 0 || len(f.Grams) != 4 ||
		f.Tokens["aa"] != 120 {
		t.Errorf("every %d, steps %v, conflict %v, %d snapshots, tokens %v", f.Every, f.Steps, f.Conflict, len(f.Grams), f.Tokens)
	}
	if f.Loss[1][0] != report.Float(3.08) || f.Rate[0] != 96 || f.Weights[0][1][5] != .3 || f.Norms[1][2][0] != 3 {
		t.Errorf("loss %v, rate %v", f.Loss[1][0], f.Rate[0])
	}
}

// A long run of a large model makes a page of a few megabytes.
func TestLongRun(t *testing.T) {
	r := &Run{Header: report.Header{Kind: "header"}}
	for i := range 8 {
		r.Header.Languages = append(r.Header.Languages, fmt.Sprint("l", i))
	}
	for s := 1; s <= 10000; s++ {
		x := report.Step{Step: s, Seconds: 1, LossByLang: map[string]report.Float{"l0": 2.123456}}
		for b := range 30 {
			x.Buckets = append(x.Buckets, report.Bucket{Name: fmt.Sprint("layer ", b), Pairs: 28, NegativePairs: s % 28,
				Weights: []float64{.123456, .123456, .123456, .123456, .123456, .123456, .123456, .123456}, Norms: make([]report.Float, 8)})
		}
		r.Steps = append(r.Steps, x)
		if s%50 == 0 {
			g := report.Gram{Step: s}
			for b := range 30 {
				lower := make([]report.Float, 36)
				for i := range lower {
					lower[i] = report.Float(1 + float64(i)/100)
				}
				g.Buckets = append(g.Buckets, report.GramBucket{Name: fmt.Sprint("layer ", b), G: lower, Weights: make([]float64, 8)})
			}
			r.Grams = append(r.Grams, g)
		}
	}
	f := Derive(r)
	if n := len(html(t, f)); n > 5<<20 || f.Every < 2 {
		t.Errorf("%d bytes, %d steps a point", n, f.Every)
	}
}

// Nothing on the page is fetched, no text of the run is markup, and the same run
// gives the same bytes.
func TestPage(t *testing.T) {
	dir := sample(t, 12)
	page := html(t, load(t, dir))
	if again := html(t, load(t, dir)); !bytes.Equal(page, again) {
		t.Error("the same run gives another page")
	}
	text := string(page)
	if strings.Contains(text, "<b onload") || strings.Count(text, "</script>") != 3 {
		t.Error("a name of the run became markup")
	}
	for _, bad := range []string{`(?i)\b(src|href)\s*=\s*["']?(https?:)?//`, `(?i)url\(`, `(?i)@import`, `\bfetch\(`,
		`XMLHttpRequest`, `(?i)<link\b`, `(?i)<img\b`} {
		if m := regexp.MustCompile(bad).FindString(text); m != "" {
			t.Errorf("the page holds %q", m)
		}
	}
}

func TestLoad(t *testing.T) {
	if _, err := Load(t.TempDir()); !errors.Is(err, ErrNoMetrics) || !strings.Contains(err.Error(), "fix:") {
		t.Errorf("no metrics: %v", err)
	}
	dir := sample(t, 6, `{"kind":"step","step":`, `not json`, `{"kind":"tomorrow's"}`, `{"kind":"gram","step":"six"}`)
	r, err := Load(dir)
	if err != nil || len(r.Warnings) != 3 || !strings.Contains(r.Warnings[0], "line 15") {
		t.Errorf("warnings %q, %v", r.Warnings, err)
	}
	// A resumed run records steps again: the later record counts.
	again, _ := json.Marshal(report.Step{Kind: "step", Step: 4, Loss: 9})
	r, err = Load(sample(t, 6, string(again)))
	if err != nil || len(r.Steps) != 4 || r.Steps[3].Loss != 9 {
		t.Errorf("%d steps, %v", len(r.Steps), err)
	}
	// Weights that are part of the loss are shown as one bucket's, in every output.
	for _, buckets := range [][]report.Bucket{nil, {{Name: "layer 0", Norm: 1}, {Name: "layer 1", Norm: 2}}} {
		weighted, _ := json.Marshal(report.Step{Kind: "step", Step: 7, LossByLang: map[string]report.Float{"aa": 1},
			Weights: []float64{0.25, 0.75}, Buckets: buckets})
		r, err = Load(sample(t, 0, string(weighted)))
		if err != nil || len(r.Steps[0].Buckets) != 1 || bucketNames(r.Steps)[0] != "all" || Derive(r).Weights[0][0][0] != 0.25 {
			t.Errorf("weights of the loss: %+v, %v", r.Steps, err)
		}
	}
	if err := os.WriteFile(filepath.Join(dir, "metrics.jsonl"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Load(dir); !errors.Is(err, ErrNoMetrics) {
		t.Errorf("empty metrics: %v", err)
	}
}

// Runs without Grams, probes or an end still make all three outputs.
func TestSparse(t *testing.T) {
	r := &Run{Header: report.Header{Kind: "header", Method: "mean", Languages: []string{"aa"}},
		Steps: []report.Step{{Step: 1, LossByLang: map[string]report.Float{"aa": 2}, Seconds: 1}}}
	f := Derive(r)
	html(t, f)
	if csv, err := f.WriteCSV(filepath.Join(t.TempDir(), "c")); err != nil || len(csv) != 1 {
		t.Errorf("csv %v, %v", csv, err)
	}
	if png, err := f.WritePNG(t.TempDir()); err != nil || len(png) != 4 {
		t.Errorf("png %v, %v", png, err)
	}
}

func TestFiles(t *testing.T) {
	f := load(t, sample(t, 12))
	csv, err := f.WriteCSV(t.TempDir())
	if err != nil || len(csv) != 9 {
		t.Fatalf("csv %v, %v", csv, err)
	}
	b, _ := os.ReadFile(csv[0])
	if !strings.HasPrefix(string(b), "step,tokens_per_second,lr,grad_norm,aa,bb,") ||
		!strings.Contains(string(b), "\n1,96,0,0,2.98,3.08,3.18\n") {
		t.Errorf("loss.csv begins %q", string(b[:min(len(b), 120)]))
	}
	dir := t.TempDir()
	png, err := f.WritePNG(dir)
	if err != nil || len(png) != 16 {
		t.Fatalf("png %v, %v", png, err)
	}
	for _, p := range png {
		if b, err := os.ReadFile(p); err != nil || !bytes.HasPrefix(b, []byte("\x89PNG")) || len(b) < 4000 {
			t.Errorf("%s: %d bytes, %v", p, len(b), err)
		}
	}
}

// A resumed process does again what came after its start, even where nothing has
// been recorded in its place yet.
func TestResumed(t *testing.T) {
	again, err := json.Marshal(report.Header{Kind: "header", Languages: []string{"aa", "bb", nasty}, Steps: 12, Start: 4})
	if err != nil {
		t.Fatal(err)
	}
	r, err := Load(sample(t, 12, string(again)))
	if err != nil || len(r.Steps) != 4 || len(r.Evals) != 1 || len(r.Grams) != 1 || len(r.Probes) != 1 || r.End != nil {
		t.Errorf("%d steps, %d evaluations, %d Grams, %d probes, end %v, %v", len(r.Steps), len(r.Evals), len(r.Grams), len(r.Probes), r.End, err)
	}
}

// Records that parse but are not whole replace nothing, and are named.
func TestDamaged(t *testing.T) {
	r, err := Load(sample(t, 6, `{"kind":"step","loss":3}`, `{"kind":"gram","step":6,"buckets":[{"name":"layer 0","g":[1]}]}`))
	if err != nil || len(r.Steps) != 6 || len(r.Grams) != 2 || len(r.Grams[1].Buckets) != 2 || len(r.Warnings) != 2 ||
		!strings.Contains(r.Warnings[1], "line 16") {
		t.Errorf("%d steps, %d Grams, warnings %q, %v", len(r.Steps), len(r.Grams), r.Warnings, err)
	}
}

// What is not finite in one bucket is not finite in the whole: g₁ alone is left.
func TestWholeNotFinite(t *testing.T) {
	nan := report.Float(math.NaN())
	s := derive(report.Gram{Buckets: []report.GramBucket{{G: []report.Float{1, nan, nan}}, {G: []report.Float{1, -1, 1}}}}, 2)
	if finite(float64(s.Cosines[1])) || s.Gap != 1 {
		t.Errorf("cosines %v, gap %v", s.Cosines, s.Gap)
	}
}

// The error of a cosine is the contrasts' length over those of the gradients;
// contrasts of buckets add up before they are squared.
func TestCosineErrors(t *testing.T) {
	b := report.GramBucket{G: []report.Float{4, 1, 25}, Contrast: []report.Float{7, 3, 4, 7}}
	s := derive(report.Gram{Buckets: []report.GramBucket{b, b}}, 2)
	for what, e := range map[string][]report.Float{"bucket": s.Buckets[0].Errors, "whole": s.Errors} {
		if len(e) != 4 || e[0] != 0 || e[1] != .5 || e[2] != .5 { // 5/(2·5), 10/(8·50)^½/(50)^½
			t.Errorf("%s: errors %v", what, e)
		}
	}
	b.Contrast = nil
	if s := derive(report.Gram{Buckets: []report.GramBucket{b}}, 2); s.Errors != nil || s.Buckets[0].Errors != nil {
		t.Error("errors without contrasts")
	}
}
