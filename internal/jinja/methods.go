package jinja

import (
	"strings"
	"unicode"
	"unicode/utf8"
)

// method returns the bound method of a string, list or mapping, or nil.
func method(of Value, name string) Value {
	var f func(c *call) Value
	switch of := of.(type) {
	case string:
		if m := stringMethods[name]; m != nil {
			f = func(c *call) Value { return c.s.checked(m(c, of), c.line) }
		}
	case *Dict:
		if m := dictMethods[name]; m != nil {
			f = func(c *call) Value { return m(c, of) }
		}
	case *List:
		f = listMethod(of, name)
	}
	if f == nil {
		return nil
	}
	return &function{name, f}
}

// checked bounds a value that is a string.
func (s *state) checked(v Value, line int) Value {
	if t, ok := v.(string); ok {
		s.text(t, line)
	}
	return v
}

// listMethod is a method of a list; those that change it are refused, as by
// Jinja's immutable sandbox.
func listMethod(l *List, name string) func(c *call) Value {
	switch name {
	case "append", "insert", "extend", "pop", "remove", "clear", "sort", "reverse":
		return func(c *call) Value {
			fail(c.line, "list.%s changes a list, which templates must not: add lists instead", name)
			return nil
		}
	case "index":
		return func(c *call) Value {
			for i, v := range l.Items {
				if equal(v, c.bind("value")[0]) {
					return int64(i)
				}
			}
			fail(c.line, "the value is not in the list")
			return nil
		}
	case "count":
		return func(c *call) Value {
			n := int64(0)
			for _, v := range l.Items {
				if equal(v, c.bind("value")[0]) {
					n++
				}
			}
			return n
		}
	}
	return nil
}

var dictMethods = map[string]func(c *call, d *Dict) Value{
	"get": func(c *call, d *Dict) Value {
		a := c.bind("key", "default")
		if key, ok := a[0].(string); ok {
			if v, ok := d.items[key]; ok {
				return v
			}
		}
		if absent(a[1]) {
			return nil
		}
		return a[1]
	},
	"keys":   func(c *call, d *Dict) Value { return NewList(iterate(d, c.line)...) },
	"items":  func(_ *call, d *Dict) Value { return pairs(d) },
	"copy":   func(_ *call, d *Dict) Value { return d },
	"values": func(_ *call, d *Dict) Value { return values(d) },
	"update": refuse, "pop": refuse, "setdefault": refuse, "clear": refuse, "popitem": refuse,
}

func refuse(c *call, _ *Dict) Value {
	fail(c.line, "dict.%s changes a mapping, which templates must not", c.name)
	return nil
}

// pairs are a mapping's members as lists of key and value.
func pairs(d *Dict) *List {
	l := &List{}
	for _, k := range d.keys {
		l.Items = append(l.Items, tuple(k, d.items[k]))
	}
	return l
}

func values(d *Dict) *List {
	l := &List{}
	for _, k := range d.keys {
		l.Items = append(l.Items, d.items[k])
	}
	return l
}

// isSpace is Python's str.isspace.
func isSpace(r rune) bool { return unicode.IsSpace(r) || r >= 0x1c && r <= 0x1f }

// trimmer is strip and its one-sided relatives.
func trimmer(left, right bool) func(c *call, s string) Value {
	return func(c *call, s string) Value { return trim(s, c.bind("chars")[0], left, right, c) }
}

// trim removes characters at the ends: chars, or white space if it is absent or none.
func trim(s string, chars Value, left, right bool, c *call) Value {
	drop := isSpace
	if chars != nil && !absent(chars) {
		set := c.text(chars, "")
		drop = func(r rune) bool { return strings.ContainsRune(set, r) }
	}
	if left {
		s = strings.TrimLeftFunc(s, drop)
	}
	if right {
		s = strings.TrimRightFunc(s, drop)
	}
	return s
}

// affixed is startswith and endswith; the affix may be a list of them.
func affixed(has func(s, affix string) bool) func(c *call, s string) Value {
	return func(c *call, s string) Value {
		if l, ok := c.bind("affix")[0].(*List); ok {
			for _, v := range l.Items {
				if has(s, c.text(v, "")) {
					return true
				}
			}
			return false
		}
		return has(s, c.text(c.bind("affix")[0], ""))
	}
}

// every is isdigit and its relatives.
func every(is func(r rune) bool) func(c *call, s string) Value {
	return func(_ *call, s string) Value {
		return s != "" && strings.IndexFunc(s, func(r rune) bool { return !is(r) }) < 0
	}
}

// finder is find and rfind, in characters.
func finder(index func(s, sub string) int) func(c *call, s string) Value {
	return func(c *call, s string) Value {
		i := index(s, c.text(c.bind("sub")[0], ""))
		if i > 0 {
			i = utf8.RuneCountInString(s[:i])
		}
		return int64(i)
	}
}

func mapped(f func(string) string) func(*call, string) Value {
	return func(_ *call, s string) Value { return f(s) }
}

var stringMethods = map[string]func(c *call, s string) Value{
	"strip": trimmer(true, true), "lstrip": trimmer(true, false), "rstrip": trimmer(false, true),
	"upper": mapped(strings.ToUpper), "lower": mapped(strings.ToLower), "title": mapped(title), "capitalize": mapped(capitalize),
	"startswith": affixed(strings.HasPrefix), "endswith": affixed(strings.HasSuffix),
	"isdigit": every(unicode.IsDigit), "isalpha": every(unicode.IsLetter), "isspace": every(isSpace),
	"isalnum": every(func(r rune) bool { return unicode.IsLetter(r) || unicode.IsNumber(r) }),
	"find":    finder(strings.Index), "rfind": finder(strings.LastIndex),
	"count": func(c *call, s string) Value { return int64(strings.Count(s, c.text(c.bind("sub")[0], ""))) },
	"split": func(c *call, s string) Value { return split(c, s, false) }, "rsplit": func(c *call, s string) Value { return split(c, s, true) },
	"splitlines": func(_ *call, s string) Value { return splitLines(s) },
	"replace": func(c *call, s string) Value {
		a := c.bind("old", "new", "count")
		return replaceText(c, s, c.text(a[0], ""), c.text(a[1], ""), c.whole(a[2], -1))
	},
	"join": func(c *call, s string) Value { return join(c, iterate(c.bind("items")[0], c.line), s) },
	"removeprefix": func(c *call, s string) Value {
		return strings.TrimPrefix(s, c.text(c.bind("prefix")[0], ""))
	},
	"removesuffix": func(c *call, s string) Value {
		return strings.TrimSuffix(s, c.text(c.bind("suffix")[0], ""))
	},
}

// replaceText is strings.Replace with the result's length bounded beforehand.
func replaceText(c *call, s, old, new string, count int) string {
	n := strings.Count(s, old)
	if count >= 0 {
		n = min(n, count)
	}
	if float64(n)*float64(len(new)) > maxText {
		fail(c.line, "a text of more than %d MiB", maxText>>20)
	}
	return strings.Replace(s, old, new, count)
}

// join puts sep between the items' texts.
func join(c *call, items []Value, sep string) string {
	var out strings.Builder
	for i, v := range items {
		if i > 0 {
			out.WriteString(sep)
		}
		out.WriteString(str(v))
		if out.Len() > maxText {
			fail(c.line, "a text of more than %d MiB", maxText>>20)
		}
	}
	return out.String()
}

// split is Python's split and rsplit.
func split(c *call, s string, right bool) Value {
	a := c.bind("sep", "maxsplit")
	most := c.whole(a[1], -1)
	l := &List{}
	if a[0] == nil || absent(a[0]) {
		if most >= 0 {
			fail(c.line, "%s by white space with a limit is not implemented", c.name)
		}
		for _, f := range strings.FieldsFunc(s, isSpace) {
			l.Items = append(l.Items, f)
		}
		return l
	}
	sep := c.text(a[0], "")
	if sep == "" {
		fail(c.line, "%s with an empty separator", c.name)
	}
	parts := strings.Split(s, sep)
	if n := len(parts) - 1; most >= 0 && n > most {
		if right {
			parts = append([]string{strings.Join(parts[:n-most+1], sep)}, parts[n-most+1:]...)
		} else {
			parts = append(parts[:most:most], strings.Join(parts[most:], sep))
		}
	}
	for _, p := range parts {
		l.Items = append(l.Items, p)
	}
	return l
}

// splitLines cuts at the ends of lines by Python's rule.
func splitLines(s string) Value {
	l := &List{}
	for s != "" {
		i := strings.IndexFunc(s, func(r rune) bool {
			return r >= '\n' && r <= '\r' || r >= 0x1c && r <= 0x1e || r == 0x85 || r == 0x2028 || r == 0x2029
		})
		if i < 0 {
			l.Items = append(l.Items, s)
			break
		}
		l.Items = append(l.Items, s[:i])
		_, w := utf8.DecodeRuneInString(s[i:])
		if strings.HasPrefix(s[i:], "\r\n") {
			w = 2
		}
		s = s[i+w:]
	}
	return l
}

// capitalize makes the first character upper case and the others lower.
func capitalize(s string) string {
	_, w := utf8.DecodeRuneInString(s)
	return strings.ToUpper(s[:w]) + strings.ToLower(s[w:])
}

// title capitalizes every run of letters.
func title(s string) string {
	before := false
	return strings.Map(func(r rune) rune {
		was := before
		before = unicode.IsLetter(r)
		if was {
			return unicode.ToLower(r)
		}
		return unicode.ToTitle(r)
	}, s)
}
