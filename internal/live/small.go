package live

import "strings"

// chartHeight is the least height of the chart on a small screen.
const chartHeight = 6

// small is the view of a small screen: how far the run is, the languages' losses as
// far as they fit, the latest messages, and the keys.
func (s *State) small(w, h int) []string {
	out := []string{s.title(w), s.progress(w, nil)}
	out = append(out, wrap(s.figures(), w)...)
	held := s.heldOut()
	var langs []string
	for _, l := range s.Header.Languages {
		langs = append(langs, clean(l)+s.languageFigures(l, held))
	}
	messages := min(3, max(1, (h-len(out)-1)/3))
	room := max(0, h-len(out)-messages-1)
	lines := wrap(langs, w)
	if len(lines) > room && room > 0 {
		lines = append(lines[:room-1], fit(" …", w))
	}
	if key := s.legendKey(held); key != "" && len(lines) < room {
		lines = append(lines, paint(faint, fit(" "+key, w)))
	}
	out = append(out, lines[:min(room, len(lines))]...)
	if free := h - messages - 1 - len(out); free >= chartHeight && len(s.steps) > 0 {
		out = append(out, s.chart(w, free-s.claim(w, messages, free-chartHeight))...)
	}
	out = append(out, s.said(w, h-len(out)-1)...)
	out = append(out, s.keys(w))
	if s.Help {
		return overlay(out, w)
	}
	return out
}

// wrap puts parts on lines of w columns.
func wrap(parts []string, w int) []string {
	var out []string
	line := ""
	for _, p := range parts {
		if line != "" && 1+width(line)+2+width(p) > w {
			out = append(out, fit(" "+line, w))
			line = ""
		}
		if line != "" {
			line += "  "
		}
		line += p
	}
	if strings.TrimSpace(line) != "" {
		out = append(out, fit(" "+line, w))
	}
	return out
}

// folded is a message on lines of w columns, divided at spaces, on at most spare lines beside
// the first; a longer one is cut.
func folded(text string, w, spare int) []string {
	var out []string
	line := ""
	words := strings.Fields(clean(text))
	for i, word := range words {
		if line != "" && 1+width(line)+1+width(word) > w {
			if len(out) == spare {
				line += " " + strings.Join(words[i:], " ")
				break
			}
			out = append(out, paint(faint, fit(" "+line, w)))
			line = ""
		}
		line = strings.TrimPrefix(line+" "+word, " ")
	}
	return append(out, paint(faint, fit(" "+line, w)))
}
