package jinja

// call is one call of a function.
type call struct {
	s     *state
	line  int
	name  string
	pos   []Value
	names []string
	named []Value
}

func (a *args) eval(s *state, line int) *call {
	c := &call{s: s, line: line, names: a.names}
	for _, x := range a.pos {
		c.pos = append(c.pos, x.eval(s))
	}
	for _, x := range a.named {
		c.named = append(c.named, x.eval(s))
	}
	return c
}

func (e *callExpr) eval(s *state) Value {
	f := e.of.eval(s)
	return s.call(f, e.args.eval(s, e.line))
}

func (s *state) call(f Value, c *call) Value {
	s.step(c.line)
	fn, ok := f.(*function)
	if !ok {
		if u, undef := f.(undefined); undef {
			fail(c.line, "%q is undefined and cannot be called", u.what)
		}
		fail(c.line, "%s cannot be called", kindOf(f))
	}
	if s.calls++; s.calls > maxCalls {
		fail(c.line, "calls nested more than %d deep", maxCalls)
	}
	c.name = fn.name
	v := fn.call(c)
	s.calls--
	return v
}

// bind returns the arguments in the order of the names given; absent ones are
// undefined.
func (c *call) bind(names ...string) []Value {
	out := make([]Value, len(names))
	for i := range out {
		out[i] = undefined{names[i]}
	}
	if len(c.pos) > len(names) {
		fail(c.line, "%s takes at most %d arguments, not %d", c.name, len(names), len(c.pos))
	}
	copy(out, c.pos)
next:
	for i, n := range c.names {
		for j, name := range names {
			if n == name {
				out[j] = c.named[i]
				continue next
			}
		}
		fail(c.line, "%s takes no argument %q", c.name, n)
	}
	return out
}

func absent(v Value) bool {
	_, ok := v.(undefined)
	return ok
}

// text is a string argument; absent ones are the default.
func (c *call) text(v Value, otherwise string) string {
	switch v := v.(type) {
	case string:
		return v
	case undefined:
		return otherwise
	}
	fail(c.line, "%s wants a string, not %s", c.name, kindOf(v))
	return ""
}

// whole is an integer argument; absent ones are the default.
func (c *call) whole(v Value, otherwise int) int {
	switch v := v.(type) {
	case int64:
		return int(v)
	case undefined:
		return otherwise
	}
	fail(c.line, "%s wants an integer, not %s", c.name, kindOf(v))
	return 0
}
