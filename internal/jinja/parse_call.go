package jinja

import "slices"

func (p *parser) call(of expr) expr {
	line := p.peek().line
	return &callExpr{of, p.args(), line}
}

// args reads (a, b, name=c).
func (p *parser) args() args {
	var a args
	p.want("(")
	for n := 0; !p.accept(")"); n++ {
		if n > 0 {
			p.want(",")
			if p.accept(")") {
				break
			}
		}
		if t := p.peek(); p.is("*") || p.is("**") {
			fail(t.line, "arguments by %s are not implemented", t.text)
		}
		if p.peek().kind == nameToken && p.tokens[1].kind == opToken && p.tokens[1].text == "=" {
			a.names = append(a.names, p.name())
			p.want("=")
			a.named = append(a.named, p.expression())
			continue
		}
		if len(a.names) > 0 {
			fail(p.peek().line, "an argument without a name after one with a name")
		}
		a.pos = append(a.pos, p.expression())
	}
	return a
}

// filterCall reads a filter after its bar.
func (p *parser) filterCall() filterCall {
	t := p.next()
	if t.kind != nameToken || filters[t.text] == nil {
		fail(t.line, "the filter %q is not implemented", t.text)
	}
	f := filterCall{name: t.text, line: t.line}
	if p.is("(") {
		f.args = p.args()
	}
	return f
}

// test reads a test after its "is".
func (p *parser) test(of expr, line int) expr {
	n := &testExpr{of: of, negate: p.accept("not"), line: line}
	t := p.next()
	if n.name = t.text; t.kind != nameToken || tests[n.name] == nil {
		fail(line, "the test %q is not implemented", t.text)
	}
	next := p.peek()
	switch {
	case p.is("("):
		a := p.args()
		if len(a.names) > 0 {
			fail(line, "a test takes no named arguments")
		}
		n.args = a.pos
	case next.kind == opToken && (next.text == "[" || next.text == "{"), next.kind == intToken,
		next.kind == floatToken, next.kind == stringToken,
		next.kind == nameToken && !slices.Contains([]string{"else", "or", "and", "is", "if", "in", "not"}, next.text):
		n.args = []expr{p.postfix(p.primary())}
	}
	if want := tests[n.name].args; len(n.args) != want {
		fail(line, "the test %q takes %d arguments, not %d", n.name, want, len(n.args))
	}
	return n
}
