package report

import (
	"runtime"
	"strings"
)

// Quote is an argument of a printed command as a shell takes it: as it is where
// that is safe, else in quotes.
func Quote(arg string) string { return quoteFor(runtime.GOOS, arg) }

// Command is a printed command line of this program.
func Command(args ...string) string {
	out := []string{"concord"}
	for _, a := range args {
		out = append(out, Quote(a))
	}
	return strings.Join(out, " ")
}

// quoteFor quotes for the shells of a system: sh, or PowerShell and cmd.exe, where
// a backslash is part of every path.
func quoteFor(system, arg string) string {
	special := " \t\n\"'\\$&|;<>()*?[]{}!#~`"
	if system == "windows" {
		special = strings.ReplaceAll(strings.ReplaceAll(special, `\`, ""), "~", "") + "%^,@=+"
	}
	switch {
	case arg != "" && !strings.ContainsAny(arg, special):
		return arg
	case system == "windows":
		return `"` + strings.ReplaceAll(arg, `"`, `\"`) + `"`
	}
	return "'" + strings.ReplaceAll(arg, "'", `'\''`) + "'"
}
