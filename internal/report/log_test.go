package report

import (
	"bytes"
	"log/slog"
	"testing"
)

func TestLog(t *testing.T) {
	var b bytes.Buffer
	l := slog.New(NewLog(&b))
	l.Info("step 5 waits for \x1b[31mw2")
	l.With("worker", 3).Warn("is out", "after", 2)
	l.Debug("nothing")
	if got, want := b.String(), "concord: step 5 waits for ?[31mw2\nconcord: is out worker=3 after=2\n"; got != want {
		t.Errorf("%q, not %q", got, want)
	}
}
