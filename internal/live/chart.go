package live

import (
	"fmt"
	"math"
	"slices"
	"strings"
)

// dots are the bits of a braille cell, by row and column.
var dots = [4][2]rune{{0x01, 0x08}, {0x02, 0x10}, {0x04, 0x20}, {0x40, 0x80}}

// axis is the columns that the chart's scale takes.
const axis = 7

// chart draws the losses over the steps in w × h cells: curves of braille dots,
// one colour a language, and below them where the model was evaluated.
func (s *State) chart(w, h int) []string {
	cols, rows := w-axis, h-1
	low, high := s.bounds()
	if len(s.steps) == 0 || low > high || cols < 4 || rows < 2 {
		out := []string{fit("  no step yet", w)}
		for len(out) < h {
			out = append(out, strings.Repeat(" ", w))
		}
		return out
	}
	cells, owner := s.plot(cols, rows, low, high)
	var out []string
	for r := range rows {
		label := strings.Repeat(" ", axis)
		if r == 0 || r == rows-1 {
			label = fmt.Sprintf("%6.2f ", high-(high-low)*float64(r)/float64(rows-1))
		}
		if r == 1 && rows > 3 {
			label = "  nats "
		}
		var b strings.Builder
		b.WriteString(paint(faint, label[:axis]))
		for c := range cols {
			if cells[r][c] == 0 {
				b.WriteByte(' ')
				continue
			}
			b.WriteString(paint(colour(owner[r][c]), string(0x2800+cells[r][c])))
		}
		out = append(out, b.String())
	}
	return append(out, s.timeline(w, cols))
}

// bounds are the least and the largest loss.
func (s *State) bounds() (low, high float64) {
	low, high = math.Inf(1), math.Inf(-1)
	for _, l := range s.Header.Languages {
		for _, v := range s.loss[l] {
			if !math.IsNaN(v) && !math.IsInf(v, 0) {
				low, high = min(low, v), max(high, v)
			}
		}
	}
	if low == high {
		low, high = low-0.5, high+0.5
	}
	return low, high
}

// plot sets the dots; a cell has the colour of the language that set one last.
func (s *State) plot(cols, rows int, low, high float64) (cells [][]rune, owner [][]int) {
	cells, owner = make([][]rune, rows), make([][]int, rows)
	for r := range cells {
		cells[r], owner[r] = make([]rune, cols), make([]int, cols)
	}
	for k, l := range s.Header.Languages {
		loss := joined(s.loss[l])
		for x := range cols * 2 {
			v := at(loss, x, cols*2)
			if math.IsNaN(v) {
				continue
			}
			y := int(math.Round((high - v) / (high - low) * float64(rows*4-1)))
			cells[y/4][x/2] |= dots[y%4][x%2]
			owner[y/4][x/2] = k
		}
	}
	return cells, owner
}

// joined is loss with straight lines over the steps that did not have the language.
func joined(loss []float64) []float64 {
	out := slices.Clone(loss)
	last := -1
	for i, v := range loss {
		if math.IsNaN(v) || math.IsInf(v, 0) {
			continue
		}
		for k := last + 1; last >= 0 && k < i; k++ {
			f := float64(k-last) / float64(i-last)
			out[k] = (1-f)*loss[last] + f*v
		}
		last = i
	}
	return out
}

// at is the value for column x of so many: the mean of the steps that fall on it,
// or between two steps the straight line; NaN without a finite one.
func at(loss []float64, x, columns int) float64 {
	n := len(loss)
	if n < 2 || n >= columns {
		sum, count := 0.0, 0.0
		for i := x * n / columns; i < max((x+1)*n/columns, x*n/columns+1); i++ {
			if v := loss[i]; !math.IsNaN(v) && !math.IsInf(v, 0) {
				sum, count = sum+v, count+1
			}
		}
		return sum / count
	}
	place := float64(x) * float64(n-1) / float64(columns-1)
	i := min(int(place), n-2)
	f := place - float64(i)
	if v := (1-f)*loss[i] + f*loss[i+1]; !math.IsInf(v, 0) {
		return v
	}
	return math.NaN()
}

// timeline marks evaluations under the chart.
func (s *State) timeline(w, cols int) string {
	line := []rune(strings.Repeat("─", cols))
	first, last := s.steps[0], s.steps[len(s.steps)-1]
	for _, e := range s.evals {
		if e >= first && e <= last && last > first {
			line[(e-first)*(cols-1)/(last-first)] = '▲'
		}
	}
	label := fmt.Sprintf("step %d", first)
	if width(label) >= axis {
		label = fmt.Sprintf("%d", first)
	}
	end := []rune(fmt.Sprintf(" %d", last))
	if last > first && 2*len(end) < cols && !slices.Contains(line[cols-len(end):], '▲') {
		copy(line[cols-len(end):], end)
	}
	return paint(faint, fit(label, axis)+string(line)) + strings.Repeat(" ", max(0, w-axis-cols))
}
