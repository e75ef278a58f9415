package live

import "strings"

// gap is between two columns.
const gap = " │ "

// Columns are texts side by side under their headings, wrapped to a screen of so many
// columns; "" where they would be narrower than 20 each.
func Columns(headings, texts []string, columns int) string {
	n := len(texts)
	w := (columns - (n-1)*width(gap)) / max(1, n)
	if w < 20 {
		return ""
	}
	var blocks [][]string
	most := 0
	for i, text := range texts {
		lines := []string{fit(headings[i], w), strings.Repeat("─", w)}
		for _, l := range strings.Split(text, "\n") {
			lines = append(lines, wrapLine(clean(l), w)...)
		}
		blocks, most = append(blocks, lines), max(most, len(lines))
	}
	var b strings.Builder
	for k := range most {
		var row []string
		for _, lines := range blocks {
			cell := ""
			if k < len(lines) {
				cell = lines[k]
			}
			row = append(row, cell+strings.Repeat(" ", max(0, w-width(cell))))
		}
		b.WriteString(strings.TrimRight(strings.Join(row, gap), " ") + "\n")
	}
	return b.String()
}

// wrapLine divides a line between words, and within those that are wider than w.
func wrapLine(s string, w int) (out []string) {
	line, used := "", 0
	for _, word := range strings.SplitAfter(s, " ") {
		if n := width(strings.TrimRight(word, " ")); used > 0 && used+n > w {
			out = append(out, strings.TrimRight(line, " "))
			line, used = "", 0
		}
		for _, r := range word {
			if k := runeWidth(r); used+k > w {
				if r == ' ' {
					continue
				}
				out = append(out, line)
				line, used = "", 0
			}
			line += string(r)
			used += runeWidth(r)
		}
	}
	return append(out, strings.TrimRight(line, " "))
}
