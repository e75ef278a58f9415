package jinja

import (
	"math"
	"strings"
)

func (e *binaryExpr) eval(s *state) Value {
	s.step(e.line)
	a, b := e.left.eval(s), e.right.eval(s)
	if e.op == "~" {
		return s.text(str(a)+str(b), e.line)
	}
	i, f, aInt, ok1 := number(a)
	j, g, bInt, ok2 := number(b)
	switch {
	case ok1 && ok2 && aInt && bInt && e.op != "/" && !(e.op == "**" && j < 0):
		return wholes(e.op, i, j, e.line)
	case ok1 && ok2:
		return floats(e.op, f, g, e.line)
	}
	if v, ok := e.sequences(s, a, b); ok {
		return v
	}
	fail(e.line, "%s %s %s has no meaning", kindOf(a), e.op, kindOf(b))
	return nil
}

// sequences adds strings and lists, and repeats them.
func (e *binaryExpr) sequences(s *state, a, b Value) (Value, bool) {
	switch x := a.(type) {
	case string:
		if y, ok := b.(string); ok && e.op == "+" {
			return s.text(x+y, e.line), true
		}
		if n, ok := b.(int64); ok && e.op == "*" {
			if n = max(0, n); float64(n)*float64(len(x)) > maxText {
				fail(e.line, "a text of more than %d MiB", maxText>>20)
			}
			return s.text(strings.Repeat(x, int(n)), e.line), true
		}
	case *List:
		if y, ok := b.(*List); ok && e.op == "+" && x.tuple == y.tuple {
			s.steps += len(x.Items) + len(y.Items)
			return &List{append(append([]Value(nil), x.Items...), y.Items...), x.tuple}, true
		}
	}
	return nil, false
}

// wholes is arithmetic of integers, with Python's floor division.
func wholes(op string, i, j int64, line int) Value {
	if (op == "//" || op == "%") && j == 0 {
		fail(line, "division by zero")
	}
	var exact float64
	var out int64
	switch op {
	case "+":
		exact, out = float64(i)+float64(j), i+j
	case "-":
		exact, out = float64(i)-float64(j), i-j
	case "*":
		exact, out = float64(i)*float64(j), i*j
	case "**":
		exact, out = math.Pow(float64(i), float64(j)), 1
		for n := int64(0); n < j && math.Abs(exact) < 1<<62 && (i > 1 || i < -1); n++ {
			out *= i
		}
		if i == 0 && j > 0 || i == 1 || i == -1 {
			out = int64(exact)
		}
	case "//":
		if out = i / j; i%j != 0 && (i < 0) != (j < 0) {
			out--
		}
		return out
	case "%":
		if out = i % j; out != 0 && (out < 0) != (j < 0) {
			out += j
		}
		return out
	}
	if math.Abs(exact) >= 1<<62 {
		fail(line, "%d %s %d is too large", i, op, j)
	}
	return out
}

func floats(op string, f, g float64, line int) Value {
	if (op == "/" || op == "//" || op == "%") && g == 0 {
		fail(line, "division by zero")
	}
	switch op {
	case "+":
		return f + g
	case "-":
		return f - g
	case "*":
		return f * g
	case "/":
		return f / g
	case "//":
		return math.Floor(f / g)
	case "%":
		return f - g*math.Floor(f/g)
	}
	return math.Pow(f, g)
}
