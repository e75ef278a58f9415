package jinja

import "strings"

// test is a function that may follow "is".
type test struct {
	args  int
	holds func(v, arg Value, line int) bool
}

// compared is the test by a comparison.
func compared(op string) *test {
	return &test{1, func(v, arg Value, line int) bool { return compare(op, v, arg, line) }}
}

// is is a test without arguments.
func is(holds func(v Value) bool) *test {
	return &test{0, func(v, _ Value, _ int) bool { return holds(v) }}
}

// ofKind is the test for a Go type.
func ofKind[T any](v Value) bool {
	_, ok := v.(T)
	return ok
}

// remainder is v mod n.
func remainder(v, n Value, line int) int64 {
	i, ok := v.(int64)
	j, ok2 := n.(int64)
	if !ok || !ok2 {
		fail(line, "%s has no remainder by %s", kindOf(v), kindOf(n))
	}
	return wholes("%", i, j, line).(int64)
}

// tests by name.
var tests = map[string]*test{
	"defined":   is(func(v Value) bool { return !absent(v) }),
	"undefined": is(absent),
	"none":      is(func(v Value) bool { return v == nil }),
	"string":    is(ofKind[string]),
	"mapping":   is(ofKind[*Dict]),
	"boolean":   is(ofKind[bool]),
	"float":     is(ofKind[float64]),
	"integer":   is(ofKind[int64]),
	"callable":  is(ofKind[*function]),
	"true":      is(func(v Value) bool { return v == true }),
	"false":     is(func(v Value) bool { return v == false }),
	"number":    is(func(v Value) bool { _, _, _, ok := number(v); return ok }),
	"iterable":  is(func(v Value) bool { return ofKind[string](v) || ofKind[*List](v) || ofKind[*Dict](v) || absent(v) }),
	"sequence":  is(func(v Value) bool { return ofKind[string](v) || ofKind[*List](v) || ofKind[*Dict](v) || absent(v) }),
	"lower":     is(func(v Value) bool { return str(v) == strings.ToLower(str(v)) && str(v) != strings.ToUpper(str(v)) }),
	"upper":     is(func(v Value) bool { return str(v) == strings.ToUpper(str(v)) && str(v) != strings.ToLower(str(v)) }),
	"odd":       {0, func(v, _ Value, line int) bool { return remainder(v, int64(2), line) == 1 }},
	"even":      {0, func(v, _ Value, line int) bool { return remainder(v, int64(2), line) == 0 }},

	"divisibleby": {1, func(v, arg Value, line int) bool { return remainder(v, arg, line) == 0 }},
	"sameas":      {1, func(v, arg Value, _ int) bool { return equal(v, arg) && kindOf(v) == kindOf(arg) }},
	"in":          compared("in"),
	"equalto":     compared("=="), "eq": compared("=="), "ne": compared("!="),
	"lt": compared("<"), "lessthan": compared("<"), "le": compared("<="),
	"gt": compared(">"), "greaterthan": compared(">"), "ge": compared(">="),
}
