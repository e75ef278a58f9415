package jinja

import (
	"slices"
	"strconv"
)

func (p *parser) peek() token { return p.tokens[0] }

func (p *parser) next() token {
	t := p.tokens[0]
	if t.kind != endToken {
		p.tokens = p.tokens[1:]
	}
	return t
}

// is reports whether the next token is the operator or word s.
func (p *parser) is(s string) bool {
	t := p.peek()
	return t.text == s && (t.kind == opToken || t.kind == nameToken)
}

func (p *parser) accept(s string) bool {
	ok := p.is(s)
	if ok {
		p.next()
	}
	return ok
}

func (p *parser) want(s string) {
	if !p.accept(s) {
		fail(p.peek().line, "want %q, not %q", s, p.peek().text)
	}
}

// end wants the tag to end.
func (p *parser) end() {
	if t := p.peek(); t.kind != endToken {
		fail(t.line, "%q is not expected here", t.text)
	}
}

// reserved are the words that are no names.
var reserved = []string{"and", "or", "not", "in", "is", "if", "else", "true", "false", "none", "True", "False", "None"}

func (p *parser) name() string {
	t := p.next()
	if t.kind != nameToken || slices.Contains(reserved, t.text) {
		fail(t.line, "want a name, not %q", t.text)
	}
	return t.text
}

// tuple reads one expression, or several with commas between.
func (p *parser) tuple() expr { return p.tupleOf(p.expression) }

func (p *parser) tupleOf(one func() expr) expr {
	first := one()
	if !p.is(",") {
		return first
	}
	items := []expr{first}
	for p.accept(",") {
		if t := p.peek(); t.kind == endToken || t.text == ")" && t.kind == opToken {
			break
		}
		items = append(items, one())
	}
	return &listExpr{items, true}
}

// expression is a if b else c.
func (p *parser) expression() expr {
	p.enter(p.peek().line)
	defer p.leave()
	e := p.or()
	for p.accept("if") {
		c := &condExpr{then: e, cond: p.or()}
		if p.accept("else") {
			c.otherwise = p.expression()
		}
		e = c
	}
	return e
}

func (p *parser) or() expr {
	e := p.and()
	for p.accept("or") {
		e = &logicExpr{true, e, p.and()}
	}
	return e
}

func (p *parser) and() expr {
	e := p.not()
	for p.accept("and") {
		e = &logicExpr{false, e, p.not()}
	}
	return e
}

func (p *parser) not() expr {
	t := p.peek()
	p.enter(t.line)
	defer p.leave()
	if p.accept("not") {
		return &unaryExpr{"not", p.not(), t.line}
	}
	return p.compare()
}

func (p *parser) compare() expr {
	c := &compareExpr{first: p.sum(), line: p.peek().line}
	for {
		t := p.peek()
		op := t.text
		switch {
		case t.kind == opToken && slices.Contains([]string{"==", "!=", "<", ">", "<=", ">="}, op), p.is("in"):
			p.next()
		case p.is("not") && p.tokens[1].kind == nameToken && p.tokens[1].text == "in":
			p.next()
			p.next()
			op = "not in"
		case len(c.ops) == 0:
			return c.first
		default:
			return c
		}
		c.ops = append(c.ops, op)
		c.rest = append(c.rest, p.sum())
	}
}

// binary reads left-associative operators.
func (p *parser) binary(operand func() expr, ops ...string) expr {
	e := operand()
	for p.peek().kind == opToken && slices.Contains(ops, p.peek().text) {
		t := p.next()
		e = &binaryExpr{t.text, e, operand(), t.line}
	}
	return e
}

func (p *parser) sum() expr     { return p.binary(p.concat, "+", "-") }
func (p *parser) concat() expr  { return p.binary(p.product, "~") }
func (p *parser) product() expr { return p.binary(p.power, "*", "/", "//", "%") }
func (p *parser) power() expr {
	return p.binary(func() expr { return p.unary(true) }, "**")
}

// unary is a sign, or an operand with its calls and attributes.
func (p *parser) unary(filters bool) expr {
	t := p.peek()
	p.enter(t.line)
	defer p.leave()
	var e expr
	if t.kind == opToken && (t.text == "-" || t.text == "+") {
		p.next()
		e = &unaryExpr{t.text, p.unary(false), t.line}
	} else {
		e = p.primary()
	}
	e = p.postfix(e)
	for filters {
		t := p.peek()
		switch {
		case p.accept("|"):
			e = &filterExpr{e, p.filterCall()}
		case p.accept("is"):
			e = p.test(e, t.line)
		case p.is("("):
			e = p.call(e)
		default:
			return e
		}
	}
	return e
}

func (p *parser) primary() expr {
	t := p.next()
	switch t.kind {
	case stringToken:
		s := t.text
		for p.peek().kind == stringToken {
			s += p.next().text
		}
		return &literal{s}
	case intToken:
		n, err := strconv.ParseInt(t.text, 10, 64)
		if err != nil {
			fail(t.line, "%s is too large a number", t.text)
		}
		return &literal{n}
	case floatToken:
		f, _ := strconv.ParseFloat(t.text, 64)
		return &literal{f}
	case nameToken:
		switch t.text {
		case "true", "True":
			return &literal{true}
		case "false", "False":
			return &literal{false}
		case "none", "None":
			return &literal{nil}
		}
		if !slices.Contains(reserved, t.text) {
			return &nameExpr{t.text, t.line}
		}
	case opToken:
		switch t.text {
		case "(":
			if p.accept(")") {
				return &listExpr{tuple: true}
			}
			e := p.tuple()
			p.want(")")
			return e
		case "[":
			return &listExpr{items: p.list("]")}
		case "{":
			return p.dict(t.line)
		}
	}
	fail(t.line, "%q is not expected here", t.text)
	return nil
}

// list reads expressions with commas between, up to the closing bracket.
func (p *parser) list(end string) []expr {
	var out []expr
	for !p.accept(end) {
		if len(out) > 0 {
			p.want(",")
			if p.accept(end) {
				break
			}
		}
		out = append(out, p.expression())
	}
	return out
}

func (p *parser) dict(line int) expr {
	d := &dictExpr{line: line}
	for !p.accept("}") {
		if len(d.keys) > 0 {
			p.want(",")
			if p.accept("}") {
				break
			}
		}
		d.keys = append(d.keys, p.expression())
		p.want(":")
		d.values = append(d.values, p.expression())
	}
	return d
}

// postfix reads attributes, subscripts and calls.
func (p *parser) postfix(e expr) expr {
	for {
		t := p.peek()
		switch {
		case p.is("("):
			e = p.call(e)
		case p.accept("."):
			n := p.next()
			switch n.kind {
			case nameToken:
				e = &attrExpr{e, n.text, t.line}
			case intToken:
				i, _ := strconv.ParseInt(n.text, 10, 64)
				e = &indexExpr{e, &literal{i}, t.line}
			default:
				fail(n.line, "want a name after the dot, not %q", n.text)
			}
		case p.accept("["):
			e = p.subscript(e, t.line)
		default:
			return e
		}
	}
}

func (p *parser) subscript(e expr, line int) expr {
	part := func() expr {
		if p.is(":") || p.is("]") {
			return nil
		}
		return p.expression()
	}
	first := part()
	if p.accept("]") {
		if first == nil {
			fail(line, "an empty subscript")
		}
		return &indexExpr{e, first, line}
	}
	p.want(":")
	s := &sliceExpr{of: e, start: first, stop: part(), line: line}
	if p.accept(":") {
		s.step = part()
	}
	p.want("]")
	return s
}
