package prose

import (
	"regexp"
	"strings"
	"testing"
)

// bareCommand is a command line of concord in a format, with an argument that is put in as it is.
var bareCommand = regexp.MustCompile("concord [a-z-]+ (?:[^\"'`:\n]* )?%[sv]")

// TestPrintedCommandsAreQuoted holds that commands that are shown are made by
// report.Command, so that a path with a space can be pasted into a shell.
func TestPrintedCommandsAreQuoted(t *testing.T) {
	if !bareCommand.MatchString(`"  concord data mask %s\n"`) || bareCommand.MatchString(`"concord worker --join '%s'\n"`) {
		t.Fatal("the pattern does not find what it should")
	}
	eachText(t, func(path, text string) {
		if !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") {
			return
		}
		for _, m := range bareCommand.FindAllString(text, -1) {
			t.Errorf("%s: %q: use report.Command", path, m)
		}
	})
}
