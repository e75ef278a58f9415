package jinja

import "slices"

// parser makes the tree of the tags.
type parser struct {
	tags       []tag
	at         int     // the current tag
	tokens     []token // the rest of it
	depth      int
	loops      int // for around this place, within a macro
	generation bool
}

// maxDepth bounds the nesting of statements and expressions.
const maxDepth = 200

func (p *parser) enter(line int) {
	if p.depth++; p.depth > maxDepth {
		fail(line, "nested more than %d deep", maxDepth)
	}
}

func (p *parser) leave() { p.depth-- }

// until reads statements up to one of the closing words (none: the end of the
// template), whose tag it leaves as the current one, after the word.
func (p *parser) until(line int, words ...string) []node {
	p.enter(line)
	defer p.leave()
	var out []node
	for ; p.at < len(p.tags); p.at++ {
		t := p.tags[p.at]
		p.tokens = t.tokens
		switch t.kind {
		case textTag:
			out = append(out, &textNode{t.text})
		case exprTag:
			out = append(out, &outputNode{p.tuple(), t.line})
			p.end()
		default:
			if slices.Contains(words, p.peek().text) {
				return out
			}
			out = append(out, p.statement())
		}
	}
	if len(words) > 0 {
		fail(line, "not closed: %s is missing", words[len(words)-1])
	}
	return out
}

// word takes the closing word that until stopped at.
func (p *parser) word() string { return p.next().text }

// block reads a body and its closing word, whose tag must end there.
func (p *parser) block(line int, end string) []node {
	p.end()
	p.at++
	body := p.until(line, end)
	p.word()
	p.end()
	return body
}

// statement reads the statement that begins in the current tag and leaves its last
// tag as the current one.
func (p *parser) statement() node {
	t := p.next()
	if t.kind != nameToken {
		fail(t.line, "a statement begins with a word, not with %q", t.text)
	}
	switch t.text {
	case "if":
		return p.ifStatement(t.line)
	case "for":
		return p.forStatement(t.line)
	case "set":
		return p.setStatement(t.line)
	case "macro":
		name := p.name()
		return &macroNode{name, p.macro(name, t.line, "endmacro")}
	case "call":
		return p.callStatement(t.line)
	case "filter":
		n := &filterNode{filters: p.filterChain()}
		n.body = p.block(t.line, "endfilter")
		return n
	case "with":
		return p.withStatement(t.line)
	case "generation":
		p.generation = true
		return &generationNode{p.block(t.line, "endgeneration"), t.line}
	case "break", "continue":
		if p.loops == 0 {
			fail(t.line, "%s outside of a loop", t.text)
		}
		p.end()
		return &controlNode{map[string]control{"break": breakLoop, "continue": continueLoop}[t.text]}
	}
	fail(t.line, "the statement %q is not implemented or does not belong here", t.text)
	return nil
}

func (p *parser) ifStatement(line int) node {
	n := &ifNode{}
	n.conds = append(n.conds, p.expression())
	for {
		p.end()
		p.at++
		n.bodies = append(n.bodies, p.until(line, "elif", "else", "endif"))
		switch p.word() {
		case "elif":
			n.conds = append(n.conds, p.expression())
			continue
		case "else":
			n.bodies = append(n.bodies, p.block(line, "endif"))
			return n
		}
		p.end()
		return n
	}
}

func (p *parser) forStatement(line int) node {
	n := &forNode{line: line}
	paren := p.accept("(")
	n.targets = append(n.targets, p.name())
	for p.accept(",") {
		n.targets = append(n.targets, p.name())
	}
	if paren {
		p.want(")")
	}
	p.want("in")
	n.over = p.tupleOf(p.or) // without a condition: "if" filters
	if p.accept("if") {
		n.cond = p.expression()
	}
	if p.peek().text == "recursive" {
		fail(line, "recursive loops are not implemented")
	}
	p.end()
	p.at++
	p.loops++
	n.body = p.until(line, "else", "endfor")
	p.loops--
	if p.word() == "else" {
		n.none = p.block(line, "endfor")
	} else {
		p.end()
	}
	return n
}

// target reads the left side of set.
func (p *parser) target() target {
	t := target{name: p.name()}
	if p.accept(".") {
		t.attr = p.name()
	}
	return t
}

func (p *parser) setStatement(line int) node {
	targets := []target{p.target()}
	for p.accept(",") {
		targets = append(targets, p.target())
	}
	if p.accept("=") {
		n := &setNode{targets, p.tuple(), line}
		p.end()
		return n
	}
	if len(targets) > 1 {
		fail(line, "a set block has one name")
	}
	n := &setBlockNode{to: targets[0], line: line}
	if p.accept("|") {
		n.filters = p.filterChain()
	}
	n.body = p.block(line, "endset")
	return n
}

// macro reads parameters and body.
func (p *parser) macro(name string, line int, end string) *macro {
	m := &macro{name: name, line: line}
	if p.accept("(") {
		p.params(m)
	}
	loops := p.loops
	p.loops = 0
	m.body = p.block(line, end)
	p.loops = loops
	return m
}

func (p *parser) params(m *macro) {
	for !p.accept(")") {
		if len(m.params) > 0 {
			p.want(",")
			if p.accept(")") {
				return
			}
		}
		m.params = append(m.params, p.name())
		var d expr
		if p.accept("=") {
			d = p.expression()
		}
		m.defaults = append(m.defaults, d)
	}
}

func (p *parser) callStatement(line int) node {
	m := &macro{name: "caller", line: line}
	if p.accept("(") {
		p.params(m)
	}
	call, ok := p.expression().(*callExpr)
	if !ok {
		fail(line, "call needs a call: {%% call f(…) %%}")
	}
	loops := p.loops
	p.loops = 0
	m.body = p.block(line, "endcall")
	p.loops = loops
	return &callNode{call, m}
}

func (p *parser) withStatement(line int) node {
	n := &withNode{}
	for p.peek().kind == nameToken {
		n.names = append(n.names, p.name())
		p.want("=")
		n.values = append(n.values, p.expression())
		if !p.accept(",") {
			break
		}
	}
	n.body = p.block(line, "endwith")
	return n
}

// filterChain reads name(args)|name(args)….
func (p *parser) filterChain() []filterCall {
	out := []filterCall{p.filterCall()}
	for p.accept("|") {
		out = append(out, p.filterCall())
	}
	return out
}
