package live

import (
	"fmt"
	"math"
	"regexp"
	"slices"
	"strings"
	"testing"

	"concord/internal/report"
)

var escape = regexp.MustCompile(`\x1b\[[0-9;]*m`)

// plain is a screen without colours.
func plain(lines []string) []string {
	out := make([]string, len(lines))
	for i, l := range lines {
		out[i] = escape.ReplaceAllString(l, "")
	}
	return out
}

// sample is a run of m languages after some steps.
func sample(m, steps int) *State {
	s := &State{}
	h := report.Header{Name: "run", Method: "pcgrad", Scope: "layer", Model: "base", Device: "gpu", Backend: "vulkan",
		Budget: 8 << 30, Steps: 100}
	for i := range m {
		h.Languages = append(h.Languages, fmt.Sprintf("l%d", i))
	}
	s.Add(h)
	for k := 1; k <= steps; k++ {
		r := report.Step{Step: k, Steps: 100, Loss: 3, LossByLang: map[string]report.Float{}, Tokens: 1000, Seconds: 0.5,
			NegativePairs: 1, Pairs: 4, MemoryBytes: 1 << 20, PeakBytes: 2 << 20}
		for i, l := range h.Languages {
			r.LossByLang[l] = report.Float(4 + float64(i%5)/10 - float64(k)/50)
		}
		b := report.Bucket{Name: "layer 0", Pairs: 1}
		for i := range m {
			b.Weights = append(b.Weights, float64(i+1)/float64(m))
			for j := range i {
				r.Cosines = append(r.Cosines, report.Float(float64(i-j)/10-0.15))
			}
		}
		r.Buckets = []report.Bucket{b, {Name: "layer 1", Weights: b.Weights}}
		s.Add(r)
	}
	return s
}

// Every line of every screen fits it, at all sizes and numbers of languages.
func TestRenderFits(t *testing.T) {
	for _, size := range [][2]int{{32, 8}, {40, 10}, {60, 20}, {71, 30}, {90, 12}, {72, 20}, {80, 24}, {120, 40}, {250, 70}} {
		for _, m := range []int{1, 2, 8, 64} {
			for _, steps := range []int{0, 1, 3, 90, 5000} {
				s := sample(m, steps)
				s.Add(report.Eval{Step: steps, Rows: []report.EvalRow{{Lang: "l0", Seen: true, BitsPerByte: 2}}})
				for _, help := range []bool{false, true} {
					s.Help = help
					lines := plain(Render(s, size[0], size[1]))
					if len(lines) != size[1] {
						t.Fatalf("%v, %d languages, %d steps: %d lines", size, m, steps, len(lines))
					}
					for i, l := range lines {
						if width(l) > size[0] {
							t.Errorf("%v, %d languages, %d steps: line %d is %d wide: %q", size, m, steps, i, width(l), l)
						}
					}
				}
			}
		}
	}
	for _, size := range [][2]int{{31, 40}, {100, 7}, {0, 0}} {
		if Render(sample(2, 3), size[0], size[1]) != nil {
			t.Errorf("a screen of %v is drawn", size)
		}
	}
}

// What the screen says, without colours.
func TestRenderSays(t *testing.T) {
	s := sample(3, 20)
	s.Add(report.Note{Text: "checkpoint of step 20 saved"})
	text := strings.Join(plain(Render(s, 100, 30)), "\n")
	for _, want := range []string{" run   pcgrad, scope layer   base", "step 20/100  loss 3.000", "cos -0.017±0.000", "ETA",
		"cos·100 l0  l1  l2", "l1      -5!   · -5!", "l2        5 -5!   ·",
		"● l0 3.60", "weights, layer 0 (1 of 2; cosine below 0 in 0 of 1 pairs): ▂ ▅ █", " 2,000 tok/s  memory 1.0 MiB of " +
			"8.0 GiB (peak 2.0 MiB)  gpu, vulkan", "loss, nats", "step 1 ─", "─ 20", "checkpoint of step 20 saved", "q save and quit"} {
		if !strings.Contains(text, want) {
			t.Errorf("the screen lacks %q:\n%s", want, text)
		}
	}
	s.Attached, s.Gone = true, true
	if text := strings.Join(plain(Render(s, 100, 30)), "\n"); !strings.Contains(text, "NOT GOING") || !strings.Contains(text, "q leave") {
		t.Errorf("attached to nobody:\n%s", text)
	}
	s = sample(2, 2)
	s.Add(report.Note{Text: "paused", Paused: true})
	if text := strings.Join(plain(Render(s, 100, 30)), "\n"); !strings.Contains(text, "PAUSED") || !strings.Contains(text, "p go on") {
		t.Errorf("paused:\n%s", text)
	}
}

// Text from files cannot move the cursor, and wide, combining and right-to-left
// characters take the room that they take.
func TestHostileText(t *testing.T) {
	s := sample(2, 2)
	s.Header.Name = "x\x1b[2J\x07\r\n\u202eevil" + strings.Repeat("漢", 200)
	s.Header.Languages = []string{"\x1b]0;t\x07a", "नी"}
	s.Add(report.Note{Text: "\x1b[31mred\x1b[H"})
	for _, l := range Render(s, 80, 24) {
		if rest := escape.ReplaceAllString(l, ""); strings.ContainsAny(rest, "\x1b\x07\r\n\u202e") || width(rest) > 80 {
			t.Errorf("line %q", l)
		}
	}
	for text, want := range map[string]int{"abc": 3, "漢字": 4, "नी": 2, "é": 1, "🜁": 1, "😀": 2} {
		if got := width(text); got != want {
			t.Errorf("width of %q is %d, want %d", text, got, want)
		}
	}
	if got := fit("漢字漢字", 5); width(got) != 5 || got != "漢字…" {
		t.Errorf("fit gives %q", got)
	}
}

// Losses that are not finite leave gaps; a run that starts over, or resumes
// earlier, shows what counts.
func TestState(t *testing.T) {
	s := sample(2, 10)
	s.Add(report.Step{Step: 11, Steps: 100, LossByLang: map[string]report.Float{"l0": report.Float(math.NaN()),
		"l1": report.Float(math.Inf(1))}})
	if Render(s, 80, 24) == nil {
		t.Error("not drawn")
	}
	s.Add(report.Header{Name: "run", Languages: []string{"l0", "l1"}, Start: 5})
	s.Add(report.Step{Step: 6, Steps: 100, LossByLang: map[string]report.Float{"l0": 1, "l1": 2}})
	if len(s.steps) != 6 || len(s.loss["l0"]) != 6 || s.loss["l0"][5] != 1 {
		t.Errorf("after a resume: steps %v, losses %v", s.steps, s.loss["l0"])
	}
	for k := range 10000 {
		s.Add(report.Step{Step: 7 + k, Steps: 20000, LossByLang: map[string]report.Float{"l0": 1}})
	}
	if len(s.steps) > history || len(s.loss["l1"]) != len(s.steps) {
		t.Errorf("%d points are kept, %d of l1", len(s.steps), len(s.loss["l1"]))
	}
}

func TestKeys(t *testing.T) {
	got := Keys([]byte("cq\x03\x1b[D\x1b[C\x1bOC\x1b[1;5Cx\x1b\x7f?\xc3\xa9"))
	if want := []string{"c", "q", "ctrl-c", "left", "right", "right", "right", "x", "?"}; !slices.Equal(got, want) {
		t.Errorf("keys %q, want %q", got, want)
	}
	s := sample(2, 2)
	for key, want := range map[string]int{"right": 1, "k": 1} {
		s.Bucket = 0
		if !s.Key(key) || s.Bucket != want {
			t.Errorf("%s leads to bucket %d", key, s.Bucket)
		}
	}
	if s.Key("z") {
		t.Error("z is known")
	}
}

// Between two frames a fast run may tell more than the screen has lines: the answer
// to a key is among those that are shown, on the smallest screen too, and until the
// next answer.
func TestAnswersAreSeen(t *testing.T) {
	for _, h := range []int{MinHeight, 24, 40} {
		s := sample(2, 3)
		s.Add(report.Note{Text: "paused after step 3", Paused: true})
		s.Add(report.Note{Text: "going on after step 3"})
		for step := range 200 {
			s.Add(report.Eval{Step: step, Rows: []report.EvalRow{{Lang: "l0", Seen: true, BitsPerByte: 2}}})
			if step%2 == 0 {
				s.Say(fmt.Sprintf("warning %d", step))
			}
			screen := strings.Join(plain(Render(s, MinWidth, h)), "\n")
			if !strings.Contains(screen, "going on after step 3") || strings.Contains(screen, "going on after step 3") && step > 60 &&
				strings.Contains(screen, "paused after") {
				t.Fatalf("height %d, after %d evaluations:\n%s", h, step+1, screen)
			}
		}
		if len(s.messages) > 50 {
			t.Errorf("%d messages are kept", len(s.messages))
		}
		s.Add(report.Note{Text: "checkpoint of step 9 saved"})
		if screen := strings.Join(plain(Render(s, MinWidth, h)), "\n"); !strings.Contains(screen, "checkpoint of step 9") ||
			strings.Contains(screen, "going on") {
			t.Errorf("the newer answer:\n%s", screen)
		}
	}
	s := sample(2, 3)
	for step := range 5 {
		s.Add(report.Eval{Step: step})
	}
	if len(s.messages) != 1 {
		t.Errorf("five evaluations in a row take %d lines", len(s.messages))
	}
}

// What a user looks for is on every screen, with its unit: at 80 × 24 in a long run
// with a long name too, and on a smaller one.
func TestWhatIsLookedFor(t *testing.T) {
	for _, size := range [][2]int{{80, 24}, {72, 20}, {60, 20}, {40, 10}} {
		for _, m := range []int{1, 3, 16} {
			s := sample(m, 12)
			s.Header.Name, s.Header.Model = strings.Repeat("a long name ", 9), strings.Repeat("model ", 30)
			s.Last.Step, s.Last.Steps = 98_765, 100_000
			screen := strings.Join(plain(Render(s, size[0], size[1])), "\n")
			for _, want := range []string{"step 98765/100000", "loss 3.000 nats", "ETA 10m", "0.50s/step", "l0 3.76"} {
				if !strings.Contains(screen, want) {
					t.Errorf("%v, %d languages: no %q in\n%s", size, m, want, screen)
				}
			}
		}
	}
}

// There is no NaN on the screen: not before the first step, not for a language that
// the step or the evaluation did not have, not where nothing unseen is measured.
func TestNoNaN(t *testing.T) {
	nan := report.Float(math.NaN())
	for _, size := range [][2]int{{80, 24}, {60, 20}, {120, 40}} {
		for _, steps := range []int{0, 1, 5} {
			s := sample(3, steps)
			s.Add(report.Eval{Step: steps, Rows: []report.EvalRow{{Lang: "l0", Seen: true, BitsPerByte: 2, Examples: 3},
				{Lang: "l1", Seen: true, BitsPerByte: nan}}})
			if steps > 0 {
				s.Add(report.Step{Step: steps + 1, Steps: 100, Loss: nan, GradNorm: nan, LR: 1,
					LossByLang: map[string]report.Float{"l0": nan}, Cosines: []report.Float{nan, nan, nan}, Seconds: 1})
			}
			screen := strings.Join(plain(Render(s, size[0], size[1])), "\n")
			if strings.Contains(screen, "NaN") || strings.Contains(screen, "unseen") {
				t.Errorf("%v after %d steps:\n%s", size, steps, screen)
			}
			if steps > 0 && !strings.Contains(screen, "loss not finite") {
				t.Errorf("%v after %d steps: a loss that is not finite is not said:\n%s", size, steps, screen)
			}
		}
	}
}

// Before the first step nothing is said of weights and memory; weights that are part of
// the loss are shown; figures have their units, and a small screen has the chart too.
func TestWeightsAndUnits(t *testing.T) {
	draw := func(s *State, w, h int) string { return strings.Join(plain(Render(s, w, h)), "\n") }
	s := sample(3, 0)
	if text := draw(s, 80, 24); strings.Contains(text, "weights") || strings.Contains(text, "memory") ||
		!strings.Contains(text, "gpu, vulkan") {
		t.Errorf("before the first step:\n%s", text)
	}
	s = sample(3, 9)
	resumed := s.Header // with less memory: that of the steps before is not of this budget
	resumed.Start, resumed.Budget = 9, 1<<19
	s.Add(resumed)
	if text := draw(s, 80, 24); strings.Contains(text, "memory") {
		t.Errorf("memory of an earlier start:\n%s", text)
	}
	s.Add(report.Step{Step: 10, Steps: 100, MemoryBytes: 1 << 18, PeakBytes: 3 << 17})
	if text := draw(s, 80, 24); !strings.Contains(text, "memory 256.0 KiB of 512.0 KiB (peak 384.0 KiB)") {
		t.Errorf("after the first step of a resumed run:\n%s", text)
	}
	s = sample(3, 9)
	s.Header.Device = strings.Repeat("a long name ", 9)
	s.Add(report.Eval{Step: 9, Rows: []report.EvalRow{{Lang: "l0", Seen: true, BitsPerByte: 2, Examples: 3}}})
	s.Last.Buckets = []report.Bucket{{Name: "layer 0", Norm: 1}}
	s.Last.Weights = []float64{0.5, 0.25, 0.25}
	text := draw(s, 80, 24)
	for _, want := range []string{"weights of the losses, all layers: █ ▄ ▄", "(peak 2.0 MiB)  a long",
		"loss, nats (held out, bits per byte)", "  nats "} {
		if !strings.Contains(text, want) {
			t.Errorf("no %q in\n%s", want, text)
		}
	}
	if text := draw(s, 60, 20); !strings.Contains(text, "loss, nats (held out, bits per byte)") ||
		!strings.Contains(text, "  nats ") || !strings.Contains(text, "step 1 ") {
		t.Errorf("on a small screen:\n%s", text)
	}
}

// The matrix is of the run: one step of the other sign changes little, and only what
// is beyond chance is marked.
func TestMatrixIsOfTheRun(t *testing.T) {
	s := sample(2, 0)
	for k := range 64 {
		s.Add(report.Step{Step: k + 1, Steps: 100, Cosines: []report.Float{-0.2 + 0.01*report.Float(k%5)}, Seconds: 1})
	}
	screen := func() string { return strings.Join(plain(Render(s, 100, 30)), "\n") }
	if !strings.Contains(screen(), "-18!") {
		t.Errorf("a conflict beyond chance is not marked:\n%s", screen())
	}
	s.Add(report.Step{Step: 65, Steps: 100, Cosines: []report.Float{0.9}, Seconds: 1})
	if strings.Contains(screen(), "90") {
		t.Errorf("one step takes the matrix over:\n%s", screen())
	}
	chance := sample(2, 0)
	for k := range 64 {
		chance.Add(report.Step{Step: k + 1, Steps: 100, Cosines: []report.Float{report.Float(0.3*math.Sin(float64(k*k)) - 0.02)}, Seconds: 1})
	}
	if text := strings.Join(plain(Render(chance, 100, 30)), "\n"); strings.Contains(text, "!") {
		t.Errorf("chance is marked:\n%s", text)
	}
}

// A language that few steps have is a line in the chart like the others.
func TestRareLanguageIsDrawn(t *testing.T) {
	s := &State{}
	s.Add(report.Header{Languages: []string{"often", "rare"}})
	for k := range 400 {
		r := report.Step{Step: k + 1, Steps: 400, LossByLang: map[string]report.Float{"often": 5}}
		if k%50 == 0 {
			r.LossByLang["rare"] = 2
		}
		s.Add(r)
	}
	cells, owner := s.plot(60, 10, 2, 5)
	drawn := 0
	for c := range 60 {
		if cells[9][c] != 0 && owner[9][c] == 1 {
			drawn++
		}
	}
	if drawn < 50 {
		t.Errorf("the rare language takes %d of 60 columns", drawn)
	}
}

// Counts are written as everywhere else.
func TestProgress(t *testing.T) {
	s := sample(1, 1)
	s.Add(report.Progress{Step: 3, Done: 1, Of: 4, Docs: 1975})
	if got := strings.Join(Render(s, 80, 24), "\n"); !strings.Contains(got, "evaluating step 3: 25% of 1,975 documents") {
		t.Error(got)
	}
}
