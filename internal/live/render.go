package live

import (
	"fmt"
	"math"
	"strings"
	"time"

	"concord/internal/report"
)

// The smallest screen that the view fits.
const (
	MinWidth  = 32
	MinHeight = 8
)

// The smallest screen of the whole view; below it there is a smaller one.
const (
	wholeWidth  = 72
	wholeHeight = 20
)

// Render is the screen of w × h cells, one string per line, colours included; nil
// when it is too small.
func Render(s *State, w, h int) []string {
	switch {
	case w < MinWidth || h < MinHeight:
		return nil
	case w < wholeWidth || h < wholeHeight:
		return s.small(w, h)
	}
	out := []string{s.title(w), s.progress(w, s.figures()), ""}
	shown := min(names, len(s.Header.Languages), (w/2-7)/cell)
	matrix, side := s.matrix(shown), 7+cell*shown
	left := w
	if len(matrix) > 0 {
		left = w - side - 2
	}
	legend := s.legend(w)
	body := h - len(out) - 9
	body -= s.claim(w, 9-len(legend)-3, body-max(chartHeight, min(body, len(matrix))))
	chart := s.chart(left, body)
	for i := range body {
		line := chart[i]
		if len(matrix) > 0 {
			m := strings.Repeat(" ", side)
			if i < len(matrix) {
				m = matrix[i]
			}
			line += "  " + m
		}
		out = append(out, line)
	}
	out = append(out, legend...)
	out = append(out, s.weights(w), s.device(w))
	out = append(out, s.said(w, h-len(out)-1)...)
	out = append(out, s.keys(w))
	if s.Help {
		return overlay(out, w)
	}
	return out[:h]
}

func (s *State) title(w int) string {
	h := s.Header
	state := ""
	switch {
	case s.End != nil:
		state = " FINISHED"
	case s.Gone:
		state = " NOT GOING"
	case s.Paused:
		state = " PAUSED"
	}
	text := fmt.Sprintf(" %s%s   %s, scope %s   %s", h.Name, state, h.Method, h.Scope, h.Model)
	return paint(bold, fit(text, w))
}

// progress is the bar, the step, and as many of the figures as fit.
func (s *State) progress(w int, figures []string) string {
	r := s.Last
	steps := max(r.Steps, s.Header.Steps, 1)
	bar := max(6, min(40, w/8))
	done := min(bar, r.Step*bar/steps)
	text := fmt.Sprintf(" step %d/%d", r.Step, steps)
	for _, part := range figures {
		if width(text)+2+width(part) <= w-bar-1 {
			text += "  " + part
		}
	}
	return " " + paint("\x1b[36m", strings.Repeat("█", done)) + paint(faint, strings.Repeat("░", bar-done)) + fit(text, w-bar-1)
}

// figures are those of the last step, the most important first; one that does not exist
// is left out.
func (s *State) figures() []string {
	r := s.Last
	if r.Step == 0 {
		return nil
	}
	out := []string{"loss " + number(float64(r.Loss), "%.3f nats")}
	if e := s.eta(); e != "" {
		out = append(out, "ETA "+e)
	}
	if s.pace.Seconds > 0 {
		out = append(out, seconds(s.pace.Seconds)+"/step")
	}
	if c := s.cosines.Text(); c != "" {
		out = append(out, c)
	}
	out = append(out, "|g| "+number(float64(r.GradNorm), "%.3g"))
	return append(out, "lr "+number(float64(r.LR), "%.2g"))
}

// number is x in a format, or words where it is not finite.
func number(x float64, format string) string {
	if math.IsNaN(x) || math.IsInf(x, 0) {
		return "not finite"
	}
	return fmt.Sprintf(format, x)
}

func seconds(x float64) string { return report.Duration(time.Duration(x * float64(time.Second))) }

// cell is the columns of one entry of the matrix, names its most rows.
const (
	cell  = 4
	names = 12
)

// matrix is the mean cosines of the whole gradients so far, in hundredths; those that
// are below 0 beyond chance are red and carry a "!", so that colour is not needed. It
// shows the first few languages.
func (s *State) matrix(shown int) []string {
	langs := s.Header.Languages
	m := len(langs)
	pairs := s.cosines.Pairs()
	if len(pairs) != m*(m-1)/2 || m < 2 {
		return nil
	}
	at := func(i, j int) report.Estimate {
		if i < j {
			i, j = j, i
		}
		return pairs[i*(i-1)/2+j]
	}
	head := fit("cos·100", 7)
	for _, l := range langs[:shown] {
		head += fit(" "+l, cell)
	}
	out := []string{paint(faint, head)}
	for i := range shown {
		var b strings.Builder
		b.WriteString(paint(colour(i), fit(langs[i], 7)))
		for j := range shown {
			if i == j {
				b.WriteString(paint(faint, "   ·"))
				continue
			}
			switch e := at(i, j); {
			case math.IsNaN(float64(e.Value)):
				b.WriteString(paint(faint, "   –"))
			case e.High < 0:
				b.WriteString(paint(red, fmt.Sprintf("%3.0f!", math.Min(-1, math.Round(100*float64(e.Value))))))
			default:
				b.WriteString(fmt.Sprintf("%4.0f", math.Round(100*float64(e.Value))+0)) // + 0: never −0
			}
		}
		out = append(out, b.String())
	}
	if m > shown {
		out = append(out, paint(faint, fit(fmt.Sprintf("and %d more languages", m-shown), 7+cell*shown)))
	}
	return out
}

// legendLines are the most lines of the languages; two messages have room below.
const legendLines = 4

// legend is every language with its loss and its held-out figure, two lines or more.
func (s *State) legend(w int) []string {
	held := s.heldOut()
	var lines []string
	line, used := " ", 1
	for i, l := range s.Header.Languages {
		text := fit(l, min(8, max(2, width(clean(l)))))
		text += s.languageFigures(l, held)
		n := width(text) + 4
		if last := len(lines) == legendLines-1; used+n > w || last && used+n > w-2 {
			if last {
				line += paint(faint, "…")
				break
			}
			lines = append(lines, line)
			line, used = " ", 1
		}
		line += paint(colour(i), "● ") + text + "  "
		used += n
	}
	if key := s.legendKey(held); used+width(key) <= w {
		line += paint(faint, key)
	} else if len(lines) == 0 {
		lines, line = append(lines, line), " "+paint(faint, key)
	}
	lines = append(lines, line)
	for len(lines) < 2 {
		lines = append(lines, "")
	}
	return lines
}

// legendKey names the languages' figures.
func (s *State) legendKey(held map[string]report.EvalRow) string {
	switch {
	case len(s.latest) > 0 && len(held) > 0:
		return "loss, nats (held out, bits per byte)"
	case len(held) > 0:
		return "(held out, bits per byte)"
	case len(s.latest) > 0:
		return "loss, nats"
	}
	return ""
}

// languageFigures are a language's loss, in the last step that had it, and in brackets
// its held-out bits per byte.
func (s *State) languageFigures(l string, held map[string]report.EvalRow) string {
	text := ""
	if v, ok := s.latest[l]; ok {
		text += " " + number(v, "%.2f")
	}
	if r, ok := held[l]; ok && !math.IsNaN(float64(r.BitsPerByte)) {
		text += fmt.Sprintf(" (%.2f", float64(r.BitsPerByte))
		if half := r.Interval.Half(); r.Sampled() && !math.IsNaN(half) {
			text += fmt.Sprintf("±%.2f", half)
		}
		text += ")"
	}
	return text
}

// heldOut are the latest held-out bits per byte by language.
func (s *State) heldOut() map[string]report.EvalRow {
	held := map[string]report.EvalRow{}
	if s.Eval != nil {
		for _, r := range s.Eval.Rows {
			held[r.Lang] = r
		}
	}
	return held
}

// weights is the chosen bucket's, as bars.
func (s *State) weights(w int) string {
	b, n := s.Last.Buckets, len(s.Header.Languages)
	var text string
	var weights []float64
	switch {
	case s.Last.Step == 0:
		return fit("", w)
	case s.Bucket < len(b) && len(b[s.Bucket].Weights) == n:
		k := b[s.Bucket]
		weights = k.Weights
		text = fmt.Sprintf(" weights, %s (%d of %d; cosine below 0 in %d of %d pairs): ", k.Name, s.Bucket+1, len(b), k.NegativePairs, k.Pairs)
	case len(s.Last.Weights) == n:
		weights, text = s.Last.Weights, " weights of the losses, all layers: "
	default:
		return paint(faint, fit(" weights: this method keeps none by layer", w))
	}
	return bars(clean(text), weights, w)
}

// bars is text with a bar per weight after it, as many as fit.
func bars(text string, weights []float64, w int) string {
	top := 1e-12
	for _, x := range weights {
		top = max(top, math.Abs(x))
	}
	blocks := []rune(" ▁▂▃▄▅▆▇█")
	var bars strings.Builder
	used := width(text)
	for i, x := range weights {
		if used+2 > w {
			break
		}
		bars.WriteString(paint(colour(i), string(blocks[int(math.Abs(x)/top*8)])) + " ")
		used += 2
	}
	return text + bars.String()
}

// device is the speed, the memory and the name, the longest and least asked for last.
func (s *State) device(w int) string {
	text := " "
	if s.pace.Tokens > 0 {
		text += report.Count(int64(s.pace.Tokens)) + " tok/s  "
	}
	if m := s.memory; m.MemoryBytes > 0 && s.Header.Budget > 0 {
		text += fmt.Sprintf("memory %s of %s (peak %s)  ", report.Bytes(m.MemoryBytes), report.Bytes(s.Header.Budget), report.Bytes(m.PeakBytes))
	}
	return fit(text+s.Header.Device+", "+s.Header.Backend, w)
}

func (s *State) keys(w int) string {
	if w < wholeWidth {
		return paint("\x1b[7m", fit(s.shortKeys(), w))
	}
	text := " c checkpoint  e evaluate  p pause  q save and quit  ←→ bucket  ? help"
	switch {
	case s.Confirm:
		text = " stop the run after this step, saved? y: yes, any other key: no"
	case s.Gone || s.End != nil:
		text = " q leave"
	case s.Attached:
		text = " c checkpoint  e evaluate  p pause  q leave  Q stop the run  ←→ bucket  ? help"
	}
	if s.Paused {
		text = strings.Replace(text, "p pause", "p go on", 1)
	}
	return paint("\x1b[7m", fit(text, w))
}

// shortKeys is keys for a small screen.
func (s *State) shortKeys() string {
	pause := map[bool]string{false: "pause", true: "go on"}[s.Paused]
	switch {
	case s.Confirm:
		return " stop the run? y: yes, else no"
	case s.Gone || s.End != nil:
		return " q leave"
	case s.Attached:
		return " c save e eval p " + pause + " q leave Q stop"
	}
	return " c save e eval p " + pause + " q quit ?"
}

// overlay puts the help over the screen.
func overlay(lines []string, w int) []string {
	help := []string{
		"Chart: training loss by language, nats per token; ▲ marks evaluations.",
		"Matrix: mean cosines so far between two languages' gradients, in hundredths;",
		"below 0 they conflict: red where it is more than chance.",
		"Below: loss and, in brackets, held-out bits per byte; weights of a bucket.",
		"c  save a checkpoint after this step      e  evaluate all languages now",
		"p  pause between steps, and go on         q  leave (see the last line)",
		"←→ or k j  choose the bucket              ?  this text",
		"None of the keys changes what the run comes to.",
	}
	for i, text := range help {
		if at := 4 + i; at < len(lines)-1 {
			lines[at] = paint("\x1b[7m", fit("  "+text, w))
		}
	}
	return lines
}
