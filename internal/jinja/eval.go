package jinja

import "unicode/utf8"

func (e *literal) eval(*state) Value    { return e.v }
func (e *nameExpr) eval(s *state) Value { return s.lookup(e.name) }

func (e *listExpr) eval(s *state) Value {
	l := &List{make([]Value, len(e.items)), e.tuple}
	for i, x := range e.items {
		l.Items[i] = x.eval(s)
	}
	return l
}

func (e *dictExpr) eval(s *state) Value {
	d := NewDict()
	for i, k := range e.keys {
		key, ok := k.eval(s).(string)
		if !ok {
			fail(e.line, "keys that are not strings are not implemented")
		}
		d.Set(key, e.values[i].eval(s))
	}
	return d
}

func (e *condExpr) eval(s *state) Value {
	switch {
	case truth(e.cond.eval(s)):
		return e.then.eval(s)
	case e.otherwise != nil:
		return e.otherwise.eval(s)
	}
	return undefined{"the value of an if without else"}
}

func (e *logicExpr) eval(s *state) Value {
	left := e.left.eval(s)
	if truth(left) == e.or {
		return left
	}
	return e.right.eval(s)
}

func (e *unaryExpr) eval(s *state) Value {
	v := e.of.eval(s)
	if e.op == "not" {
		return !truth(v)
	}
	i, f, isInt, ok := number(v)
	switch {
	case !ok:
		fail(e.line, "%s has no sign", kindOf(v))
	case e.op == "+" && isInt:
		return i
	case isInt:
		return -i
	case e.op == "+":
		return f
	}
	return -f
}

func (e *compareExpr) eval(s *state) Value {
	s.step(e.line)
	left := e.first.eval(s)
	for i, op := range e.ops {
		right := e.rest[i].eval(s)
		if !compare(op, left, right, e.line) {
			return false
		}
		left = right
	}
	return true
}

func compare(op string, a, b Value, line int) bool {
	switch op {
	case "==":
		return equal(a, b)
	case "!=":
		return !equal(a, b)
	case "in":
		return contains(b, a, line)
	case "not in":
		return !contains(b, a, line)
	case "<":
		return order(a, b, line) < 0
	case ">":
		return order(a, b, line) > 0
	case "<=":
		return order(a, b, line) <= 0
	}
	return order(a, b, line) >= 0
}

func (e *attrExpr) eval(s *state) Value {
	of := e.of.eval(s)
	if m := method(of, e.name); m != nil {
		return m
	}
	return s.member(of, e.name, e.line)
}

func (e *indexExpr) eval(s *state) Value {
	of, at := e.of.eval(s), e.at.eval(s)
	name, isName := at.(string)
	if d, ok := of.(*Dict); ok && isName {
		if v, ok := d.items[name]; ok {
			return v
		}
	}
	if i, ok := at.(int64); ok {
		return item(of, int(i), e.line)
	}
	if isName {
		if m := method(of, name); m != nil {
			return m
		}
		return s.member(of, name, e.line)
	}
	if u, ok := of.(undefined); ok {
		fail(e.line, "%q is undefined", u.what)
	}
	return undefined{"member " + repr(at)}
}

// member is a named member of a value.
func (s *state) member(of Value, name string, line int) Value {
	switch of := of.(type) {
	case *Dict:
		if v, ok := of.items[name]; ok {
			return v
		}
	case *namespace:
		if v, ok := of.vars.items[name]; ok {
			return v
		}
	case *loop:
		if v, ok := of.member(name); ok {
			return v
		}
	case undefined:
		fail(line, "%q is undefined and has no %q", of.what, name)
	}
	return undefined{name}
}

// item is the i-th item of a sequence; from the end if i is negative.
func item(of Value, i, line int) Value {
	switch of := of.(type) {
	case *List:
		if i < 0 {
			i += len(of.Items)
		}
		if i >= 0 && i < len(of.Items) {
			return of.Items[i]
		}
	case string:
		runes := []rune(of)
		if i < 0 {
			i += len(runes)
		}
		if i >= 0 && i < len(runes) {
			return string(runes[i])
		}
	case undefined:
		fail(line, "%q is undefined", of.what)
	}
	return undefined{"item"}
}

func (e *sliceExpr) eval(s *state) Value {
	of := e.of.eval(s)
	bound := func(x expr) (int, bool) {
		if x == nil {
			return 0, false
		}
		switch v := x.eval(s).(type) {
		case nil:
			return 0, false
		case int64:
			return int(v), true
		default:
			fail(e.line, "a slice by %s", kindOf(v))
		}
		return 0, false
	}
	start, hasStart := bound(e.start)
	stop, hasStop := bound(e.stop)
	step, hasStep := bound(e.step)
	if !hasStep {
		step = 1
	}
	if step == 0 {
		fail(e.line, "a slice with step 0")
	}
	switch of := of.(type) {
	case *List:
		return &List{pick(of.Items, start, stop, step, hasStart, hasStop), of.tuple}
	case string:
		return string(pick([]rune(of), start, stop, step, hasStart, hasStop))
	case undefined:
		fail(e.line, "%q is undefined", of.what)
	}
	fail(e.line, "%s has no slices", kindOf(of))
	return nil
}

// pick is Python's items[start:stop:step].
func pick[T any](items []T, start, stop, step int, hasStart, hasStop bool) []T {
	n := len(items)
	low, high := 0, n
	if step < 0 {
		low, high = -1, n-1
	}
	clamp := func(i int, has bool, absent int) int {
		switch {
		case !has:
			return absent
		case i < 0:
			i += n
		}
		return min(max(i, low), high)
	}
	from, to := clamp(start, hasStart, low), clamp(stop, hasStop, high)
	if step < 0 {
		from, to = clamp(start, hasStart, high), clamp(stop, hasStop, low)
	}
	var out []T
	for i := from; step > 0 && i < to || step < 0 && i > to; i += step {
		out = append(out, items[i])
	}
	return out
}

func (e *filterExpr) eval(s *state) Value { return e.apply(s, e.of.eval(s)) }

func (f *filterCall) apply(s *state, v Value) Value {
	s.step(f.line)
	c := f.args.eval(s, f.line)
	c.name = f.name
	return filters[f.name](c, v)
}

func (e *testExpr) eval(s *state) Value {
	s.step(e.line)
	var arg Value
	of := e.of.eval(s)
	if len(e.args) > 0 {
		arg = e.args[0].eval(s)
	}
	return tests[e.name].holds(of, arg, e.line) != e.negate
}

// length is the number of items, or of characters.
func length(v Value, line int) int64 {
	switch v := v.(type) {
	case string:
		return int64(utf8.RuneCountInString(v))
	case *List:
		return int64(len(v.Items))
	case *Dict:
		return int64(len(v.keys))
	case undefined:
		return 0
	}
	fail(line, "%s has no length", kindOf(v))
	return 0
}
