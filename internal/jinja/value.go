package jinja

import (
	"math"
	"slices"
	"strconv"
	"strings"
	"unicode"
)

// Value is nil (None), bool, int64, float64, string, *List, *Dict, or one of the
// package's own kinds.
type Value any

// List is a list or a tuple.
type List struct {
	Items []Value
	tuple bool
}

// NewList makes a list.
func NewList(items ...Value) *List { return &List{Items: items} }

// tuple makes a tuple.
func tuple(items ...Value) *List { return &List{items, true} }

// Dict is a mapping in insertion order. Its keys are strings.
type Dict struct {
	keys  []string
	items map[string]Value
}

// NewDict makes an empty mapping.
func NewDict() *Dict { return &Dict{items: map[string]Value{}} }

// Set adds or replaces a member and returns d.
func (d *Dict) Set(key string, v Value) *Dict {
	if _, ok := d.items[key]; !ok {
		d.keys = append(d.keys, key)
	}
	d.items[key] = v
	return d
}

// Get returns a member.
func (d *Dict) Get(key string) (Value, bool) {
	v, ok := d.items[key]
	return v, ok
}

// undefined is the value of a name or member that does not exist. It prints as
// nothing, is false, has no members; anything else with it is an error.
type undefined struct{ what string }

// namespace is the value of namespace(): its members can be set.
type namespace struct{ vars *Dict }

// function can be called.
type function struct {
	name string
	call func(c *call) Value
}

// kindOf names a value's kind for messages.
func kindOf(v Value) string {
	switch v.(type) {
	case nil:
		return "none"
	case bool:
		return "a boolean"
	case int64:
		return "an integer"
	case float64:
		return "a float"
	case string:
		return "a string"
	case *List:
		return "a list"
	case *Dict:
		return "a mapping"
	case undefined:
		return "undefined"
	case *function:
		return "a function"
	}
	return "an object"
}

// truth is Python's bool(v).
func truth(v Value) bool {
	switch v := v.(type) {
	case nil, undefined:
		return false
	case bool:
		return v
	case int64:
		return v != 0
	case float64:
		return v != 0
	case string:
		return v != ""
	case *List:
		return len(v.Items) > 0
	case *Dict:
		return len(v.keys) > 0
	}
	return true
}

// number returns v as an integer or as a float; booleans are numbers.
func number(v Value) (i int64, f float64, isInt, ok bool) {
	switch v := v.(type) {
	case bool:
		if v {
			return 1, 1, true, true
		}
		return 0, 0, true, true
	case int64:
		return v, float64(v), true, true
	case float64:
		return 0, v, false, true
	}
	return 0, 0, false, false
}

// equal is Python's a == b.
func equal(a, b Value) bool {
	if i, f, isInt, ok := number(a); ok {
		j, g, jInt, ok := number(b)
		return ok && (isInt && jInt && i == j || !(isInt && jInt) && f == g)
	}
	switch a := a.(type) {
	case nil:
		return b == nil
	case string:
		s, ok := b.(string)
		return ok && a == s
	case undefined:
		_, ok := b.(undefined)
		return ok
	case *List:
		l, ok := b.(*List)
		return ok && a.tuple == l.tuple && slices.EqualFunc(a.Items, l.Items, equal)
	case *Dict:
		d, ok := b.(*Dict)
		if !ok || len(a.keys) != len(d.keys) {
			return false
		}
		for k, v := range a.items {
			if w, ok := d.items[k]; !ok || !equal(v, w) {
				return false
			}
		}
		return true
	}
	return a == b
}

// order is Python's comparison of a and b: −1, 0 or 1.
func order(a, b Value, line int) int {
	if i, f, isInt, ok := number(a); ok {
		if j, g, jInt, ok := number(b); ok {
			switch {
			case isInt && jInt && i < j, !(isInt && jInt) && f < g:
				return -1
			case isInt && jInt && i > j, !(isInt && jInt) && f > g:
				return 1
			}
			return 0
		}
	}
	if s, ok := a.(string); ok {
		if t, ok := b.(string); ok {
			return strings.Compare(s, t)
		}
	}
	if l, ok := a.(*List); ok {
		if m, ok := b.(*List); ok {
			return slices.CompareFunc(l.Items, m.Items, func(x, y Value) int { return order(x, y, line) })
		}
	}
	fail(line, "%s and %s have no order", kindOf(a), kindOf(b))
	return 0
}

// str is Python's str(v).
func str(v Value) string {
	switch v := v.(type) {
	case string:
		return v
	case undefined:
		return ""
	}
	return repr(v)
}

// repr is Python's repr(v).
func repr(v Value) string {
	switch v := v.(type) {
	case nil:
		return "None"
	case bool:
		return map[bool]string{true: "True", false: "False"}[v]
	case int64:
		return strconv.FormatInt(v, 10)
	case float64:
		return floatRepr(v)
	case string:
		return quote(v)
	case undefined:
		return "Undefined"
	case *List:
		var parts []string
		for _, x := range v.Items {
			parts = append(parts, repr(x))
		}
		switch {
		case v.tuple && len(parts) == 1:
			return "(" + parts[0] + ",)"
		case v.tuple:
			return "(" + strings.Join(parts, ", ") + ")"
		}
		return "[" + strings.Join(parts, ", ") + "]"
	case *Dict:
		var parts []string
		for _, k := range v.keys {
			parts = append(parts, quote(k)+": "+repr(v.items[k]))
		}
		return "{" + strings.Join(parts, ", ") + "}"
	case *function:
		return "<function " + v.name + ">"
	}
	return "<object>"
}

// floatRepr is Python's repr of a float: shortest digits, an exponent from 1e16
// and below 1e-4.
func floatRepr(f float64) string {
	switch a := math.Abs(f); {
	case math.IsNaN(f):
		return "nan"
	case math.IsInf(f, 1):
		return "inf"
	case math.IsInf(f, -1):
		return "-inf"
	case a != 0 && (a < 1e-4 || a >= 1e16):
		return strconv.FormatFloat(f, 'e', -1, 64)
	}
	s := strconv.FormatFloat(f, 'f', -1, 64)
	if !strings.Contains(s, ".") {
		s += ".0"
	}
	return s
}

// quote is Python's repr of a string.
func quote(s string) string {
	q := byte('\'')
	if strings.Contains(s, "'") && !strings.Contains(s, `"`) {
		q = '"'
	}
	out := []byte{q}
	for _, r := range s {
		switch {
		case r == rune(q) || r == '\\':
			out = append(out, '\\', byte(r))
		case r == '\n':
			out = append(out, `\n`...)
		case r == '\r':
			out = append(out, `\r`...)
		case r == '\t':
			out = append(out, `\t`...)
		case r < ' ' || r == 0x7f || r < 0x100 && !unicode.IsPrint(r):
			out = append(out, `\x`...)
			out = append(out, "0123456789abcdef"[r>>4], "0123456789abcdef"[r&15])
		case !unicode.IsPrint(r) && r < 0x10000:
			out = append(out, `\u`...)
			out = append(out, hex(r, 4)...)
		case !unicode.IsPrint(r):
			out = append(out, `\U`...)
			out = append(out, hex(r, 8)...)
		default:
			out = append(out, string(r)...)
		}
	}
	return string(append(out, q))
}

// hex is r in n hexadecimal digits.
func hex(r rune, n int) string {
	s := strconv.FormatInt(int64(r), 16)
	return strings.Repeat("0", max(0, n-len(s))) + s
}

// contains is Python's item in of.
func contains(of, item Value, line int) bool {
	switch of := of.(type) {
	case string:
		s, ok := item.(string)
		if !ok {
			fail(line, "%s cannot be in a string", kindOf(item))
		}
		return strings.Contains(of, s)
	case *List:
		return slices.ContainsFunc(of.Items, func(v Value) bool { return equal(v, item) })
	case *Dict:
		s, ok := item.(string)
		_, has := of.items[s]
		return ok && has
	case undefined:
		return false
	}
	fail(line, "nothing can be in %s", kindOf(of))
	return false
}

// iterate returns the items that a loop over v sees.
func iterate(v Value, line int) []Value {
	switch v := v.(type) {
	case *List:
		return v.Items
	case *Dict:
		out := make([]Value, len(v.keys))
		for i, k := range v.keys {
			out[i] = k
		}
		return out
	case string:
		var out []Value
		for _, r := range v {
			out = append(out, string(r))
		}
		return out
	case undefined:
		return nil
	}
	fail(line, "%s is nothing to loop over", kindOf(v))
	return nil
}
