package live

import (
	"fmt"
	"math"
	"strings"

	"concord/internal/report"
)

// The smallest screen that the view fits.
const (
	MinWidth  = 72
	MinHeight = 20
)

// Render is the screen of w × h cells, one string per line, colours included; nil
// when it is too small.
func Render(s *State, w, h int) []string {
	if w < MinWidth || h < MinHeight {
		return nil
	}
	out := []string{s.title(w), s.progress(w), ""}
	shown := min(names, len(s.Header.Languages), (w/2-7)/cell)
	matrix, side := s.matrix(shown), 7+cell*shown
	left := w
	if len(matrix) > 0 {
		left = w - side - 2
	}
	body := h - len(out) - 9
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
	out = append(out, s.legend(w)...)
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

func (s *State) progress(w int) string {
	r := s.Last
	steps := max(r.Steps, s.Header.Steps, 1)
	bar := max(10, min(40, w/4))
	done := min(bar, r.Step*bar/steps)
	text := fmt.Sprintf(" step %d/%d  loss %.3f  |g| %.3g  lr %.2g", r.Step, steps, float64(r.Loss), float64(r.GradNorm), float64(r.LR))
	if c := s.cosines.Text(); c != "" {
		text += "  " + c
	}
	if e := s.eta(); e != "" {
		text += "  ETA " + e
	}
	return " " + paint("\x1b[36m", strings.Repeat("█", done)) + paint(faint, strings.Repeat("░", bar-done)) + fit(text, w-bar-1)
}

// cell is the columns of one entry of the matrix, names its most rows.
const (
	cell  = 4
	names = 12
)

// matrix is the cosines of the last step's whole gradients in hundredths; those
// that conflict are red and carry a minus, so that colour is not needed. It shows
// the first few languages.
func (s *State) matrix(shown int) []string {
	langs := s.Header.Languages
	m := len(langs)
	if len(s.Last.Cosines) != m*(m-1)/2 || m < 2 {
		return nil
	}
	at := func(i, j int) float64 {
		if i < j {
			i, j = j, i
		}
		return float64(s.Last.Cosines[i*(i-1)/2+j])
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
			switch v := at(i, j); {
			case math.IsNaN(v):
				b.WriteString(paint(faint, "   –"))
			case v < 0:
				b.WriteString(paint(red, fmt.Sprintf("%4.0f", math.Min(-1, math.Round(100*v)))))
			default:
				b.WriteString(fmt.Sprintf("%4.0f", 100*v))
			}
		}
		out = append(out, b.String())
	}
	if m > shown {
		out = append(out, paint(faint, fit(fmt.Sprintf("and %d more languages", m-shown), 7+cell*shown)))
	}
	return out
}

// legend is every language with its loss and its held-out figure, two lines.
func (s *State) legend(w int) []string {
	held := map[string]report.Float{}
	if s.Eval != nil {
		for _, r := range s.Eval.Rows {
			held[r.Lang] = r.BitsPerByte
		}
	}
	var lines []string
	line, used := " ", 1
	for i, l := range s.Header.Languages {
		text := fit(l, min(8, max(2, width(clean(l)))))
		if v, ok := s.Last.LossByLang[l]; ok {
			text += fmt.Sprintf(" %.2f", float64(v))
		}
		if v, ok := held[l]; ok {
			text += fmt.Sprintf(" (%.2f)", float64(v))
		}
		n := width(text) + 4
		if last := len(lines) == 1; used+n > w || last && used+n > w-2 {
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
	lines = append(lines, line)
	for len(lines) < 2 {
		lines = append(lines, "")
	}
	return lines[:2]
}

// weights is the chosen bucket's, as bars.
func (s *State) weights(w int) string {
	b := s.Last.Buckets
	if s.Bucket >= len(b) || len(b[s.Bucket].Weights) != len(s.Header.Languages) {
		return paint(faint, fit(" weights: this method keeps none by layer", w))
	}
	k := b[s.Bucket]
	top := 1e-12
	for _, x := range k.Weights {
		top = max(top, math.Abs(x))
	}
	blocks := []rune(" ▁▂▃▄▅▆▇█")
	text := fmt.Sprintf(" weights, %s (%d of %d, %d/%d pairs conflict): ", k.Name, s.Bucket+1, len(b), k.NegativePairs, k.Pairs)
	var bars strings.Builder
	used := width(clean(text))
	for i, x := range k.Weights {
		if used+2 > w {
			break
		}
		bars.WriteString(paint(colour(i), string(blocks[int(math.Abs(x)/top*8)])) + " ")
		used += 2
	}
	return clean(text) + bars.String()
}

func (s *State) device(w int) string {
	text := fmt.Sprintf(" %s, %s  memory %s of %s (peak %s)  %s tok/s  %.2f s/step", s.Header.Device, s.Header.Backend, report.Bytes(s.Last.MemoryBytes), report.Bytes(s.Header.Budget),
		report.Bytes(s.Last.PeakBytes), report.Count(int64(s.pace.Tokens)), s.pace.Seconds)
	return fit(text, w)
}

// said is the latest messages in n lines.
func (s *State) said(w, n int) []string {
	var out []string
	for _, m := range s.tail(n) {
		out = append(out, paint(faint, fit(" "+m.text, w)))
	}
	for len(out) < n {
		out = append(out, "")
	}
	return out
}

func (s *State) keys(w int) string {
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

// overlay puts the help over the screen.
func overlay(lines []string, w int) []string {
	help := []string{
		"Chart: training loss by language; ▲ marks evaluations.",
		"Matrix: cosines between the languages' gradients in the last step, in hundredths;",
		"negative ones conflict.",
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
