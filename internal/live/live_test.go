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
	h := report.Header{Name: "run", Method: "pcgrad", Scope: "layer", Model: "base", Device: "gpu", Backend: "vulkan", Budget: 8 << 30, Steps: 100}
	for i := range m {
		h.Languages = append(h.Languages, fmt.Sprintf("l%d", i))
	}
	s.Add(h)
	for k := 1; k <= steps; k++ {
		r := report.Step{Step: k, Steps: 100, Loss: 3, LossByLang: map[string]report.Float{}, Tokens: 1000, Seconds: 0.5, NegativePairs: 1, Pairs: 4, MemoryBytes: 1 << 20, PeakBytes: 2 << 20}
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
	for _, size := range [][2]int{{72, 20}, {80, 24}, {120, 40}, {250, 70}} {
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
	for _, size := range [][2]int{{71, 40}, {100, 19}, {0, 0}} {
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
	for _, want := range []string{" run   pcgrad, scope layer   base", "step 20/100  loss 3.000", "cos -0.017±0.000", "ETA", "cos·100 l0  l1  l2", "l1       -5   ·  -5", "l2        5  -5   ·",
		"● l0 3.60", "weights, layer 0 (1 of 2, 0/1 pairs conflict): ▂ ▅ █", "memory 1.0 MiB of 8.0 GiB (peak 2.0 MiB)  2,000 tok/s  0.50 s/step", "checkpoint of step 20 saved", "q save and quit"} {
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
	s.Add(report.Step{Step: 11, Steps: 100, LossByLang: map[string]report.Float{"l0": report.Float(math.NaN()), "l1": report.Float(math.Inf(1))}})
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
			if !strings.Contains(screen, "going on after step 3") || strings.Contains(screen, "going on after step 3") && step > 60 && strings.Contains(screen, "paused after") {
				t.Fatalf("height %d, after %d evaluations:\n%s", h, step+1, screen)
			}
		}
		if len(s.messages) > 50 {
			t.Errorf("%d messages are kept", len(s.messages))
		}
		s.Add(report.Note{Text: "checkpoint of step 9 saved"})
		if screen := strings.Join(plain(Render(s, MinWidth, h)), "\n"); !strings.Contains(screen, "checkpoint of step 9") || strings.Contains(screen, "going on") {
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
