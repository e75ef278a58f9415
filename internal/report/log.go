package report

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"strings"
	"sync"
)

// logLines shows log records as one sentence each, as every message of concord is.
type logLines struct {
	mu    *sync.Mutex
	w     io.Writer
	attrs string
}

// NewLog writes log records to w as messages of the program, without times, as
// printable text. It is safe for concurrent use.
func NewLog(w io.Writer) slog.Handler { return &logLines{mu: new(sync.Mutex), w: w} }

func (l *logLines) Enabled(_ context.Context, level slog.Level) bool { return level >= slog.LevelInfo }

func (l *logLines) Handle(_ context.Context, r slog.Record) error {
	var attrs strings.Builder
	r.Attrs(func(a slog.Attr) bool { fmt.Fprintf(&attrs, " %v", a); return true })
	l.mu.Lock()
	defer l.mu.Unlock()
	_, err := fmt.Fprintf(l.w, "concord: %s\n", Printable(r.Message+l.attrs+attrs.String()))
	return err
}

func (l *logLines) WithAttrs(attrs []slog.Attr) slog.Handler {
	out := *l
	for _, a := range attrs {
		out.attrs += fmt.Sprintf(" %v", a)
	}
	return &out
}

func (l *logLines) WithGroup(string) slog.Handler { return l }
