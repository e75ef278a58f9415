package report

import (
	"fmt"
	"math"
	"strings"
	"time"
)

// Bytes writes a size with a binary unit: "63.4 MiB".
func Bytes(n int64) string {
	if n < 1<<10 {
		return fmt.Sprintf("%d B", n)
	}
	v, units := float64(n), []string{"KiB", "MiB", "GiB", "TiB"}
	for i, u := range units {
		v /= 1024
		if v < 1023.95 || i == len(units)-1 {
			return fmt.Sprintf("%.1f %s", v, u)
		}
	}
	return ""
}

// Count writes a number with thousands separators below a million: "258,048", "1.24M".
func Count(n int64) string {
	switch {
	case n < 0:
		return "-" + Count(-n)
	case n < 1000:
		return fmt.Sprint(n)
	case n < 1e6:
		return fmt.Sprintf("%d,%03d", n/1000, n%1000)
	case n < 1e9:
		return fmt.Sprintf("%.2fM", float64(n)/1e6)
	}
	return fmt.Sprintf("%.2fB", float64(n)/1e9)
}

// Duration writes "42s", "3m10s", "1h24m".
func Duration(d time.Duration) string {
	switch {
	case d < 100*time.Millisecond:
		return fmt.Sprintf("%dms", d.Milliseconds())
	case d < time.Second:
		return fmt.Sprintf("%.2fs", d.Seconds())
	case d < 10*time.Second:
		return fmt.Sprintf("%.1fs", d.Seconds())
	case d < time.Minute:
		return fmt.Sprintf("%.0fs", d.Seconds())
	case d < time.Hour:
		return fmt.Sprintf("%dm%02ds", int(d.Minutes()), int(d.Seconds())%60)
	}
	return fmt.Sprintf("%dh%02dm", int(d.Hours()), int(d.Minutes())%60)
}

// Table compares two evaluations language by language, under the given headings.
func Table(before, after Eval, first, second string) string {
	base := map[string]float64{}
	for _, r := range before.Rows {
		base[r.Lang] = float64(r.BitsPerByte)
	}
	var b strings.Builder
	fmt.Fprintf(&b, " held-out bits per byte (lower is better)\n")
	fmt.Fprintf(&b, " %-8s %-7s %8s   %8s %8s\n", "language", "", first, second, "change")
	for _, seen := range []bool{true, false} {
		name := map[bool]string{true: "seen", false: "unseen"}[seen]
		n := 0
		for _, r := range after.Rows {
			if r.Seen == seen {
				n++
				row(&b, r.Lang, name, base[r.Lang], float64(r.BitsPerByte))
			}
		}
		if n > 0 {
			row(&b, "mean", name, before.Mean(seen), after.Mean(seen))
		}
	}
	return b.String()
}

func row(b *strings.Builder, lang, kind string, before, after float64) {
	change := ""
	if before > 0 && !math.IsNaN(after) {
		change = fmt.Sprintf("%+.1f%%", 100*(after/before-1))
	}
	fmt.Fprintf(b, " %-8s %-7s %8.3f → %8.3f %8s\n", lang, kind, before, after, change)
}

// EvalTable prints one evaluation language by language.
func EvalTable(e Eval) string {
	var b strings.Builder
	fmt.Fprintf(&b, " %-8s %-7s %9s %9s %9s %9s\n", "language", "", "bits/byte", "tokens", "bytes", "examples")
	for _, seen := range []bool{true, false} {
		name := map[bool]string{true: "seen", false: "unseen"}[seen]
		n := 0
		for _, r := range e.Rows {
			if r.Seen == seen {
				n++
				fmt.Fprintf(&b, " %-8s %-7s %9.3f %9s %9s %9s\n", r.Lang, name, float64(r.BitsPerByte), Count(int64(r.Tokens)), Count(int64(r.Bytes)), Count(int64(r.Examples)))
			}
		}
		if n > 0 {
			fmt.Fprintf(&b, " %-8s %-7s %9.3f\n", "mean", name, e.Mean(seen))
		}
	}
	return b.String()
}
