package protocol

import (
	"cmp"
	"encoding/json"
	"fmt"
	"log/slog"
	"strings"
	"unicode"

	"concord/transport"
)

// Logf logs a sentence for the user, unless there is no log.
func Logf(l *slog.Logger, format string, args ...any) {
	if l != nil {
		l.Info(fmt.Sprintf(format, args...))
	}
}

// Plain is a name or one line of text from another machine, without anything that a
// terminal might obey.
func Plain(s string) string {
	return strings.Map(func(r rune) rune {
		if unicode.IsPrint(r) {
			return r
		}
		return '?'
	}, s)
}

// Lines is plain for text of several lines.
func Lines(s string) string {
	out := strings.Split(s, "\n")
	for i, l := range out {
		out[i] = Plain(strings.ReplaceAll(l, "\t", "    "))
	}
	return strings.Join(out, "\n")
}

// CheckText refuses JSON from another machine in whose strings there is something
// that a terminal might obey: parts of it are shown.
func CheckText(what string, b json.RawMessage) error {
	var v any
	if len(b) == 0 {
		return nil
	}
	if err := json.Unmarshal(b, &v); err != nil {
		return fmt.Errorf("%w: %s: %w", transport.ErrFrame, what, err)
	}
	if bad := control(v); bad != "" {
		return fmt.Errorf("%w: %s has control characters in %q", transport.ErrFrame, what, bad)
	}
	return nil
}

// control is a string in a JSON value that has control characters, "" where none has.
func control(v any) string {
	switch x := v.(type) {
	case string:
		if Lines(x) != strings.ReplaceAll(x, "\t", "    ") {
			return x
		}
	case []any:
		for _, e := range x {
			if bad := control(e); bad != "" {
				return bad
			}
		}
	case map[string]any:
		for k, e := range x {
			if bad := control(k) + control(e); bad != "" {
				return bad
			}
		}
	}
	return ""
}

// StepNamed is a user's name, "step" where there is none, for so many steps of the coordinator.
func StepNamed(name string, step int) string { return fmt.Sprint(cmp.Or(name, "step"), " ", step) }
