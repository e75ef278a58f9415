package infer

import (
	"fmt"
	"io"
	"strings"
)

// stopWriter collects text up to the first stop text, and passes on the part that cannot
// be the beginning of one.
type stopWriter struct {
	stops []string
	out   io.Writer // or nil
	text  string
	sent  int
}

// write adds text and reports whether a stop text was found; text then ends
// before it.
func (w *stopWriter) write(text string) bool {
	w.text += text
	found, hold := -1, 0
	for _, stop := range w.stops {
		if i := strings.Index(w.text, stop); stop != "" && i >= 0 && (found < 0 || i < found) {
			found = i
		}
		for n := min(len(stop)-1, len(w.text)); n > hold; n-- {
			if strings.HasSuffix(w.text, stop[:n]) {
				hold = n
			}
		}
	}
	if found >= 0 {
		w.text = w.text[:found]
		return true
	}
	w.send(len(w.text) - hold)
	return false
}

func (w *stopWriter) send(end int) {
	if w.out != nil && end > w.sent {
		fmt.Fprint(w.out, w.text[w.sent:end])
		w.sent = end
	}
}

// close passes on the rest and returns the whole text.
func (w *stopWriter) close() string {
	w.send(len(w.text))
	return w.text
}
