package jinja

import (
	"strings"
	"time"
)

// Bounds of one rendering.
const (
	maxSteps  = 2_000_000 // statements, iterations and expressions
	maxText   = 16 << 20  // bytes of the output, or of any string
	maxCalls  = 100       // macros within macros
	maxMember = 100_000   // of a range: the bound of Jinja's sandbox
)

// state is one rendering.
type state struct {
	out       *strings.Builder
	scope     *scope
	now       time.Time
	steps     int
	calls     int
	top       bool // out is the template's own output
	inside    bool // within generation
	generated []Span
}

// scope holds variables; those of the parents are seen, not changed.
type scope struct {
	vars   map[string]Value
	parent *scope
}

func newScope(parent *scope) *scope { return &scope{map[string]Value{}, parent} }

func (s *state) lookup(name string) Value {
	for c := s.scope; c != nil; c = c.parent {
		if v, ok := c.vars[name]; ok {
			return v
		}
	}
	return undefined{name}
}

// step counts work.
func (s *state) step(line int) {
	if s.steps++; s.steps > maxSteps {
		fail(line, "more than %d steps: the template does not seem to end", maxSteps)
	}
}

// text checks the length of a string that was made.
func (s *state) text(t string, line int) string {
	s.steps += len(t) / 64
	if len(t) > maxText {
		fail(line, "a text of more than %d MiB", maxText>>20)
	}
	return t
}

func (s *state) write(t string, line int) {
	if s.out.Len()+len(t) > maxText {
		fail(line, "a text of more than %d MiB", maxText>>20)
	}
	s.out.WriteString(t)
}

// run executes statements up to one that leaves the loop.
func (s *state) run(body []node) control {
	for _, n := range body {
		if c := n.exec(s); c != goOn {
			return c
		}
	}
	return goOn
}

// within runs body in a scope of its own.
func (s *state) within(vars *scope, body []node) control {
	outer := s.scope
	s.scope = vars
	c := s.run(body)
	s.scope = outer
	return c
}

// capture returns the text that body writes.
func (s *state) capture(body func()) string {
	out, top := s.out, s.top
	s.out, s.top = &strings.Builder{}, false
	body()
	text := s.out.String()
	s.out, s.top = out, top
	return text
}

func (n *textNode) exec(s *state) control {
	s.write(n.text, 0)
	return goOn
}

func (n *outputNode) exec(s *state) control {
	s.step(n.line)
	s.write(str(n.value.eval(s)), n.line)
	return goOn
}

func (n *ifNode) exec(s *state) control {
	for i, c := range n.conds {
		if truth(c.eval(s)) {
			return s.run(n.bodies[i])
		}
	}
	if len(n.bodies) > len(n.conds) {
		return s.run(n.bodies[len(n.conds)])
	}
	return goOn
}

func (n *forNode) exec(s *state) control {
	outer := s.scope
	defer func() { s.scope = outer }()
	items := iterate(n.over.eval(s), n.line)
	if n.cond != nil {
		var kept []Value
		for _, v := range items {
			s.step(n.line)
			s.scope = newScope(outer)
			n.bind(s, v)
			if truth(n.cond.eval(s)) {
				kept = append(kept, v)
			}
		}
		items = kept
	}
	if len(items) == 0 {
		return s.within(newScope(outer), n.none)
	}
	l := &loop{items: items}
	for i, v := range items {
		s.step(n.line)
		l.at = i
		s.scope = newScope(outer)
		n.bind(s, v)
		s.scope.vars["loop"] = l
		if s.run(n.body) == breakLoop {
			break
		}
	}
	return goOn
}

// bind assigns an item to the loop's names.
func (n *forNode) bind(s *state, v Value) {
	if len(n.targets) == 1 {
		s.scope.vars[n.targets[0]] = v
		return
	}
	items := iterate(v, n.line)
	if len(items) != len(n.targets) {
		fail(n.line, "%d values for %d names", len(items), len(n.targets))
	}
	for i, name := range n.targets {
		s.scope.vars[name] = items[i]
	}
}

// assign sets a variable of the present scope, or a namespace's member.
func (s *state) assign(t target, v Value, line int) {
	if t.attr == "" {
		s.scope.vars[t.name] = v
		return
	}
	ns, ok := s.lookup(t.name).(*namespace)
	if !ok {
		fail(line, "%s.%s cannot be set: only a namespace's members can", t.name, t.attr)
	}
	ns.vars.Set(t.attr, v)
}

func (n *setNode) exec(s *state) control {
	s.step(n.line)
	v := n.value.eval(s)
	if len(n.targets) == 1 {
		s.assign(n.targets[0], v, n.line)
		return goOn
	}
	items := iterate(v, n.line)
	if len(items) != len(n.targets) {
		fail(n.line, "%d values for %d names", len(items), len(n.targets))
	}
	for i, t := range n.targets {
		s.assign(t, items[i], n.line)
	}
	return goOn
}

func (n *setBlockNode) exec(s *state) control {
	var v Value = s.capture(func() { s.within(newScope(s.scope), n.body) })
	for _, f := range n.filters {
		v = f.apply(s, v)
	}
	s.assign(n.to, v, n.line)
	return goOn
}

func (n *filterNode) exec(s *state) control {
	var v Value = s.capture(func() { s.within(newScope(s.scope), n.body) })
	for _, f := range n.filters {
		v = f.apply(s, v)
	}
	s.write(str(v), n.filters[0].line)
	return goOn
}

func (n *withNode) exec(s *state) control {
	vars := newScope(s.scope)
	for i, name := range n.names {
		vars.vars[name] = n.values[i].eval(s)
	}
	return s.within(vars, n.body)
}

func (n *controlNode) exec(*state) control { return n.c }

// exec notes where the generated text stands.
func (n *generationNode) exec(s *state) control {
	if !s.top {
		fail(n.line, "generation within a macro or a set block is not implemented: its place in the text is not known")
	}
	if s.inside {
		fail(n.line, "generation within generation")
	}
	s.inside = true
	start := s.out.Len()
	c := s.within(newScope(s.scope), n.body)
	s.inside = false
	s.generated = append(s.generated, Span{start, s.out.Len()})
	return c
}

func (n *macroNode) exec(s *state) control {
	s.scope.vars[n.name] = n.m.function(s, s.scope)
	return goOn
}

func (n *callNode) exec(s *state) control {
	f := n.call.of.eval(s)
	c := n.call.args.eval(s, n.call.line)
	c.names, c.named = append(c.names, "caller"), append(c.named, n.caller.function(s, s.scope))
	s.write(str(s.call(f, c)), n.call.line)
	return goOn
}

// function is the macro as a value; it sees the scope of its definition.
func (m *macro) function(s *state, home *scope) *function {
	return &function{m.name, func(c *call) Value {
		vars := newScope(home)
		if len(c.pos) > len(m.params) {
			fail(c.line, "%s takes %d arguments, not %d", m.name, len(m.params), len(c.pos))
		}
		for i, name := range m.params {
			vars.vars[name] = undefined{name}
			if i < len(c.pos) {
				vars.vars[name] = c.pos[i]
			}
		}
		for i, name := range c.names {
			if _, ok := vars.vars[name]; !ok && name != "caller" {
				fail(c.line, "%s takes no argument %q", m.name, name)
			}
			vars.vars[name] = c.named[i]
		}
		outer := s.scope
		s.scope = vars
		for i, name := range m.params {
			if _, missing := vars.vars[name].(undefined); missing && i >= len(c.pos) && m.defaults[i] != nil {
				vars.vars[name] = m.defaults[i].eval(s)
			}
		}
		s.scope = outer
		return s.text(s.capture(func() { s.within(vars, m.body) }), c.line)
	}}
}
