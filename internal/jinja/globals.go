package jinja

import (
	"fmt"
	"strings"
	"time"
)

// builtins are the names that every template has.
func builtins(s *state) *scope {
	b := newScope(nil)
	for name, f := range map[string]func(*call) Value{
		"range": rangeOf, "dict": dictOf, "raise_exception": raise,
		"namespace":    func(c *call) Value { return &namespace{dictOf(c).(*Dict)} },
		"strftime_now": func(c *call) Value { return strftime(s.now, c.text(c.bind("format")[0], ""), c.line) },
	} {
		b.vars[name] = &function{name, f}
	}
	return b
}

// raise is the template's own refusal.
func raise(c *call) Value {
	panic(&Error{Line: c.line, Msg: str(c.bind("message")[0]), Raised: true})
}

func rangeOf(c *call) Value {
	a := c.bind("start", "stop", "step")
	start, stop, step := 0, c.whole(a[0], 0), 1
	if len(c.pos) > 1 {
		start, stop, step = stop, c.whole(a[1], 0), c.whole(a[2], 1)
	}
	if step == 0 {
		fail(c.line, "a range with step 0")
	}
	n := 0
	switch {
	case step > 0 && stop > start:
		n = (stop - start + step - 1) / step
	case step < 0 && stop < start:
		n = (start - stop - step - 1) / -step
	}
	if n > maxMember || n < 0 {
		fail(c.line, "a range of more than %d numbers", maxMember)
	}
	out := NewList(make([]Value, n)...)
	for i := range out.Items {
		out.Items[i] = int64(start + i*step)
	}
	return out
}

func dictOf(c *call) Value {
	d := NewDict()
	for _, v := range c.pos {
		from, ok := v.(*Dict)
		if !ok {
			fail(c.line, "%s of %s is not implemented", c.name, kindOf(v))
		}
		for _, k := range from.keys {
			d.Set(k, from.items[k])
		}
	}
	for i, name := range c.names {
		d.Set(name, c.named[i])
	}
	return d
}

// strftime is Python's, for English.
func strftime(t time.Time, format string, line int) Value {
	var out strings.Builder
	for i := 0; i < len(format); i++ {
		if format[i] != '%' || i+1 == len(format) {
			out.WriteByte(format[i])
			continue
		}
		i++
		trim := format[i] == '-' && i+1 < len(format)
		if trim {
			i++
		}
		var s string
		if layout, ok := map[byte]string{'d': "02", 'm': "01", 'Y': "2006", 'y': "06", 'B': "January", 'b': "Jan", 'h': "Jan",
			'A': "Monday", 'a': "Mon",
			'H': "15", 'I': "03", 'M': "04", 'S': "05", 'p': "PM", 'F': "2006-01-02", 'T': "15:04:05", 'D': "01/02/06"}[format[i]]; ok {
			s = t.Format(layout)
		} else if format[i] == 'j' {
			s = fmt.Sprintf("%03d", t.YearDay())
		} else if format[i] == '%' {
			s = "%"
		} else {
			fail(line, "strftime_now: %%%c is not implemented", format[i])
		}
		if trim {
			s = strings.TrimLeft(s[:len(s)-1], "0") + s[len(s)-1:]
		}
		out.WriteString(s)
	}
	return out.String()
}
