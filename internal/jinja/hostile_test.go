package jinja

import (
	"errors"
	"strings"
	"testing"
)

// Templates from strangers end, with an error that says why and in which line.
func TestBounds(t *testing.T) {
	deep := func(open, mid, end string, n int) string {
		return strings.Repeat(open, n) + mid + strings.Repeat(end, n)
	}
	for name, c := range map[string]struct{ source, want string }{
		"loops":       {"{% for a in range(90000) %}{% for b in range(90000) %}{% endfor %}{% endfor %}", "steps"},
		"doubling":    {"{% set ns = namespace(x='aaaaaaaaaaaaaaaa') %}{% for a in range(99) %}{% set ns.x = ns.x ~ ns.x %}{% endfor %}", "MiB"},
		"product":     {"{{ 'abcdefgh' * 100000000000 }}", "MiB"},
		"replace":     {"{% set a = 'a' * 60000 %}{{ a|replace('a', a) }}", "MiB"},
		"join":        {"{% set a = 'a' * 60000 %}{{ a.join(a) }}", "MiB"},
		"output":      {"{% set a = 'a' * 1000000 %}{% for i in range(100) %}{{ a }}{% endfor %}", "MiB"},
		"recursion":   {"{% macro m() %}{{ m() }}{% endmacro %}\n{{ m() }}", "nested"},
		"parentheses": {"{{ " + deep("(", "1", ")", 5000) + " }}", "nested"},
		"signs":       {"{{ " + deep("-", "1", "", 5000) + " }}", "nested"},
		"nots":        {"{{ " + deep("not ", "1", "", 5000) + " }}", "nested"},
		"blocks":      {deep("{% if 1 %}", "", "{% endif %}", 5000), "nested"},
		"overflow":    {"{{ 9223372036854775807 + 1 }}", "too large"},
		"power":       {"{{ 10 ** 100 }}", "too large"},
		"literal":     {"{{ 99999999999999999999 }}", "too large"},
		"generation":  {"{% macro m() %}{% generation %}x{% endgeneration %}{% endmacro %}{{ m() }}", "within a macro"},
		"unpacking":   {"{{ range(*[1]) }}", "not implemented"},
		"line":        {"a\nb\n{{ x.y.z }}", "line 3"},
		"raised":      {"{{ raise_exception('roles must alternate') }}", "roles must alternate"},
		"an escape":   {`{{ "\x4" }}`, "hexadecimal"},
		"a surrogate": {`{{ "\ud800" }}`, "not a character"},
	} {
		_, _, err := render(c.source, NewDict())
		var e *Error
		if !errors.As(err, &e) || !strings.Contains(err.Error(), c.want) || e.Line < 1 && name != "output" {
			t.Errorf("%s: error %v, want %q and a line", name, err, c.want)
		}
	}
	if _, _, err := render(strings.Repeat(" ", maxSource+1), NewDict()); err == nil {
		t.Error("a template of more than a megabyte is read")
	}
}

// Long operator chains are no nesting.
func TestLongChains(t *testing.T) {
	text, _, err := render("{{ 0"+strings.Repeat(" + 1", 3000)+" }}", NewDict())
	if err != nil || text != "3000" {
		t.Errorf("%q, %v", text, err)
	}
}

// FuzzRender: no template panics.
func FuzzRender(f *testing.F) {
	vars, cases := readGolden(f)
	for _, c := range cases {
		f.Add(c.Source)
	}
	f.Fuzz(func(t *testing.T, source string) {
		text, spans, err := render(source, vars)
		if err != nil {
			return
		}
		for _, s := range spans {
			if s.Start < 0 || s.Start > s.End || s.End > len(text) {
				t.Fatalf("span %v of %d bytes", s, len(text))
			}
		}
	})
}
