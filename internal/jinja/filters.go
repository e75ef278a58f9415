package jinja

import (
	"math"
	"slices"
	"strconv"
	"strings"
)

// filter is a function that may follow a bar.
type filter func(c *call, v Value) Value

// filters by name. Set at start: map and its relatives look into it themselves.
var filters map[string]filter

func init() {
	filters = map[string]filter{
		"trim": func(c *call, v Value) Value {
			return trim(str(v), c.bind("chars")[0], true, true, c)
		},
		"tojson": toJSON, "length": count, "count": count, "upper": texts(strings.ToUpper), "lower": texts(strings.ToLower),
		"title": texts(title), "capitalize": texts(capitalize), "string": texts(func(s string) string { return s }),
		"safe": func(_ *call, v Value) Value { return v }, "escape": texts(escapeHTML), "e": texts(escapeHTML),
		"replace": func(c *call, v Value) Value {
			a := c.bind("old", "new", "count")
			return c.s.text(replaceText(c, str(v), str(a[0]), str(a[1]), c.whole(a[2], -1)), c.line)
		},
		"default": otherwise, "d": otherwise, "first": first, "last": last,
		"list":  func(c *call, v Value) Value { return NewList(slices.Clone(iterate(v, c.line))...) },
		"items": items, "dictsort": dictSort, "join": joinFilter, "map": mapFilter, "indent": indent,
		"int": intFilter, "float": floatFilter,
		"select": selecting(false, true), "reject": selecting(false, false), "selectattr": selecting(true, true),
		"rejectattr": selecting(true, false),
		"reverse":    reverse, "sort": sortFilter, "unique": unique,
		"abs": absolute, "sum": sum, "max": extreme(1), "min": extreme(-1), "round": round,
	}
}

func count(c *call, v Value) Value { return length(v, c.line) }

func texts(f func(string) string) filter {
	return func(c *call, v Value) Value { return c.s.text(f(str(v)), c.line) }
}

func escapeHTML(s string) string {
	return strings.NewReplacer("&", "&amp;", "<", "&lt;", ">", "&gt;", "'", "&#39;", `"`, "&#34;").Replace(s)
}

func otherwise(c *call, v Value) Value {
	a := c.bind("default_value", "boolean")
	if absent(v) || truth(a[1]) && !truth(v) {
		if absent(a[0]) {
			return ""
		}
		return a[0]
	}
	return v
}

func first(c *call, v Value) Value {
	if l := iterate(v, c.line); len(l) > 0 {
		return l[0]
	}
	return undefined{"the first of nothing"}
}

func last(c *call, v Value) Value {
	if l := iterate(v, c.line); len(l) > 0 {
		return l[len(l)-1]
	}
	return undefined{"the last of nothing"}
}

func items(c *call, v Value) Value {
	switch v := v.(type) {
	case *Dict:
		return pairs(v)
	case undefined:
		return &List{}
	}
	fail(c.line, "items of %s", kindOf(v))
	return nil
}

// dictSort is pairs in the order of their keys, or of their values.
func dictSort(c *call, v Value) Value {
	a := c.bind("case_sensitive", "by", "reverse")
	d, ok := v.(*Dict)
	if !ok {
		fail(c.line, "dictsort of %s", kindOf(v))
	}
	at := map[string]int{"key": 0, "value": 1}[c.text(a[1], "key")]
	l := pairs(d)
	sortValues(l.Items, truth(a[0]), truth(a[2]), c.line, func(v Value) Value { return v.(*List).Items[at] })
	return l
}

// sortValues sorts stably by key; strings ignore case unless told.
func sortValues(items []Value, caseful, backwards bool, line int, key func(Value) Value) {
	fold := func(v Value) Value {
		v = key(v)
		if s, ok := v.(string); ok && !caseful {
			return strings.ToLower(s)
		}
		return v
	}
	slices.SortStableFunc(items, func(a, b Value) int {
		if backwards {
			return order(fold(b), fold(a), line)
		}
		return order(fold(a), fold(b), line)
	})
}

// attribute looks up a.b.0 in a value; otherwise, if it is not undefined, stands
// for a value that does not exist.
func (s *state) attribute(v Value, path string, otherwise Value, line int) Value {
	for part := range strings.SplitSeq(path, ".") {
		if i, err := strconv.Atoi(part); err == nil {
			v = item(v, i, line)
		} else {
			v = s.member(v, part, line)
		}
		if absent(v) && !absent(otherwise) {
			v = otherwise
		}
	}
	return v
}

func joinFilter(c *call, v Value) Value {
	a := c.bind("d", "attribute")
	l := iterate(v, c.line)
	if path := c.text(a[1], ""); path != "" {
		l = slices.Clone(l)
		for i := range l {
			l[i] = c.s.attribute(l[i], path, undefined{}, c.line)
		}
	}
	return c.s.text(join(c, l, c.text(a[0], "")), c.line)
}

// mapFilter is map(attribute=…, default=…) or map("filter", …).
func mapFilter(c *call, v Value) Value {
	out := &List{}
	if len(c.pos) == 0 {
		a := c.bind("attribute", "default")
		for _, x := range iterate(v, c.line) {
			out.Items = append(out.Items, c.s.attribute(x, c.text(a[0], ""), a[1], c.line))
		}
		return out
	}
	name := c.text(c.pos[0], "")
	f := filters[name]
	if f == nil {
		fail(c.line, "the filter %q is not implemented", name)
	}
	for _, x := range iterate(v, c.line) {
		c.s.step(c.line)
		out.Items = append(out.Items, f(&call{c.s, c.line, name, c.pos[1:], c.names, c.named}, x))
	}
	return out
}

// selecting keeps the items, or those whose attribute, pass a test (or are true).
func selecting(byAttribute, keep bool) filter {
	return func(c *call, v Value) Value {
		rest := c.pos
		path := ""
		if byAttribute {
			if len(rest) == 0 {
				fail(c.line, "%s without an attribute", c.name)
			}
			path, rest = c.text(rest[0], ""), rest[1:]
		}
		holds := func(v Value) bool { return truth(v) }
		if len(rest) > 0 {
			t := tests[c.text(rest[0], "")]
			if t == nil || len(rest)-1 != t.args {
				fail(c.line, "%s: the test %q with %d arguments is not implemented", c.name, str(rest[0]), len(rest)-1)
			}
			holds = func(v Value) bool { return t.holds(v, append(rest[1:], nil)[0], c.line) }
		}
		out := &List{}
		for _, x := range iterate(v, c.line) {
			c.s.step(c.line)
			y := x
			if byAttribute {
				y = c.s.attribute(x, path, undefined{}, c.line)
			}
			if holds(y) == keep {
				out.Items = append(out.Items, x)
			}
		}
		return out
	}
}

func reverse(c *call, v Value) Value {
	if s, ok := v.(string); ok {
		r := []rune(s)
		slices.Reverse(r)
		return string(r)
	}
	l := slices.Clone(iterate(v, c.line))
	slices.Reverse(l)
	return NewList(l...)
}

func sortFilter(c *call, v Value) Value {
	a := c.bind("reverse", "case_sensitive", "attribute")
	l := slices.Clone(iterate(v, c.line))
	path := c.text(a[2], "")
	sortValues(l, truth(a[1]), truth(a[0]), c.line, func(v Value) Value {
		if path == "" {
			return v
		}
		return c.s.attribute(v, path, undefined{}, c.line)
	})
	return NewList(l...)
}

func unique(c *call, v Value) Value {
	fold := func(v Value) Value {
		if s, ok := v.(string); ok {
			return strings.ToLower(s)
		}
		return v
	}
	out := &List{}
	for _, x := range iterate(v, c.line) {
		c.s.steps += len(out.Items)
		c.s.step(c.line)
		if !slices.ContainsFunc(out.Items, func(y Value) bool { return equal(fold(x), fold(y)) }) {
			out.Items = append(out.Items, x)
		}
	}
	return out
}

// indent puts spaces before each line but the first and empty ones.
func indent(c *call, v Value) Value {
	a := c.bind("width", "first", "blank")
	with, ok := a[0].(string)
	if !ok {
		with = strings.Repeat(" ", min(max(0, c.whole(a[0], 4)), 1000))
	}
	lines := strings.Split(str(v), "\n")
	for i, line := range lines {
		if (i > 0 || truth(a[1])) && (line != "" || truth(a[2])) {
			lines[i] = with + line
		}
	}
	return c.s.text(strings.Join(lines, "\n"), c.line)
}

func intFilter(c *call, v Value) Value {
	a := c.bind("default", "base")
	switch v := v.(type) {
	case float64:
		return int64(v)
	case string:
		if n, err := strconv.ParseInt(strings.TrimSpace(v), c.whole(a[1], 10), 64); err == nil {
			return n
		}
		if f, err := strconv.ParseFloat(strings.TrimSpace(v), 64); err == nil && math.Abs(f) < 1<<62 {
			return int64(f)
		}
	default:
		if i, _, _, ok := number(v); ok {
			return i
		}
	}
	return int64(c.whole(a[0], 0))
}

func floatFilter(c *call, v Value) Value {
	a := c.bind("default")
	if _, f, _, ok := number(v); ok {
		return f
	}
	if s, ok := v.(string); ok {
		if f, err := strconv.ParseFloat(strings.TrimSpace(s), 64); err == nil {
			return f
		}
	}
	if absent(a[0]) {
		return 0.0
	}
	return a[0]
}

func absolute(c *call, v Value) Value {
	i, f, isInt, ok := number(v)
	switch {
	case !ok:
		fail(c.line, "abs of %s", kindOf(v))
	case isInt:
		return max(i, -i)
	}
	return math.Abs(f)
}

func sum(c *call, v Value) Value {
	a := c.bind("attribute", "start")
	add := &binaryExpr{op: "+", line: c.line}
	var total Value = int64(c.whole(a[1], 0))
	for _, x := range iterate(v, c.line) {
		if path := c.text(a[0], ""); path != "" {
			x = c.s.attribute(x, path, undefined{}, c.line)
		}
		add.left, add.right = &literal{total}, &literal{x}
		total = add.eval(c.s)
	}
	return total
}

func extreme(sign int) filter {
	return func(c *call, v Value) Value {
		var best Value = undefined{"the " + c.name + " of nothing"}
		for i, x := range iterate(v, c.line) {
			if i == 0 || sign*order(x, best, c.line) > 0 {
				best = x
			}
		}
		return best
	}
}

func round(c *call, v Value) Value {
	a := c.bind("precision", "method")
	_, f, _, ok := number(v)
	if !ok {
		fail(c.line, "round of %s", kindOf(v))
	}
	scale := math.Pow(10, float64(c.whole(a[0], 0)))
	how := map[string]func(float64) float64{"common": math.RoundToEven, "ceil": math.Ceil, "floor": math.Floor}[c.text(a[1], "common")]
	if how == nil {
		fail(c.line, "round: method %q is not known", str(a[1]))
	}
	return how(f*scale) / scale
}
