package live

import (
	"strings"
	"testing"
)

// Columns keep all of the text, in lines that fit, in letters of any width.
func TestColumns(t *testing.T) {
	long := "one two three four five six seven eight nine ten\nend"
	wide := strings.Repeat("語", 25)
	got := Columns([]string{"first", "second"}, []string{long, wide + "\x1b[31m"}, 47)
	lines := strings.Split(strings.TrimSuffix(got, "\n"), "\n")
	left, right := "", ""
	for i, l := range lines {
		if n := width(l); n > 47 {
			t.Errorf("line %d takes %d columns: %q", i, n, l)
		}
		if a, b, _ := strings.Cut(l, gap); i > 1 {
			left, right = left+" "+strings.TrimRight(a, " │"), right+strings.TrimLeft(b, " ")
		}
	}
	if strings.Join(strings.Fields(left), " ") != strings.ReplaceAll(long, "\n", " ") || right != wide+"[31m" {
		t.Errorf("the text is %q and %q of\n%s", left, right, got)
	}
	if !strings.HasPrefix(lines[0], "first") || !strings.Contains(lines[0], gap+"second") {
		t.Errorf("headings: %q", lines[0])
	}
	if Columns([]string{"a", "b"}, []string{"", ""}, 40) != "" {
		t.Error("two columns of 18")
	}
}
