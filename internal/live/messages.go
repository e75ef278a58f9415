package live

import (
	"fmt"
	"slices"
	"strings"

	"concord/internal/report"
)

// warned is a warning of the header as one message.
func warned(text string) string { return "! " + strings.ReplaceAll(text, "\n", "; ") }

// said is the latest messages in n lines, the latest whole as far as the others leave lines.
// Where a warning, and so its fix, is not whole among them, the last line says where all are.
func (s *State) said(w, n int) []string {
	out, whole := s.layout(w, n)
	for _, text := range s.Header.Warnings {
		if n > 1 && !whole[warned(text)] {
			out, _ = s.layout(w, n-1)
			all := fmt.Sprintf(" ! %s in full: %s", report.Plural(len(s.Header.Warnings), "warning"), report.Command("status", s.Header.Dir))
			return append(out, paint(faint, fit(all, w)))
		}
	}
	return out
}

// layout is the latest messages in n lines, and the texts that are there whole.
func (s *State) layout(w, n int) (out []string, whole map[string]bool) {
	tail := s.tail(n)
	spare := max(0, n-len(tail))
	whole = map[string]bool{}
	for _, m := range slices.Backward(tail) {
		lines := folded(m.text, w, spare)
		whole[m.text] = len(lines) == len(folded(m.text, w, len(m.text))) &&
			!slices.ContainsFunc(strings.Fields(clean(m.text)), func(word string) bool { return width(word) >= w })
		spare -= len(lines) - 1
		out = slices.Concat(lines, out)
	}
	for len(out) < n {
		out = append(out, "")
	}
	return out, whole
}

// claim is how many lines more than n the messages take, at most most, so that the warnings
// among the latest are whole.
func (s *State) claim(w, n, most int) (more int) {
	for more < most {
		_, whole := s.layout(w, n+more)
		if !slices.ContainsFunc(s.tail(n+most), func(m message) bool { return m.kind == warning && !whole[m.text] }) {
			return more
		}
		more++
	}
	return max(0, most)
}
