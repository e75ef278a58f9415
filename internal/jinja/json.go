package jinja

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// ParseJSON reads one JSON value, objects in the order in which they stand.
func ParseJSON(raw []byte) (Value, error) {
	d := json.NewDecoder(bytes.NewReader(raw))
	d.UseNumber()
	v, err := readJSON(d)
	if err != nil {
		return nil, fmt.Errorf("not JSON: %w", err)
	}
	if d.More() {
		return nil, errors.New("not JSON: something follows the value")
	}
	return v, nil
}

func readJSON(d *json.Decoder) (Value, error) {
	t, err := d.Token()
	if err != nil {
		return nil, err
	}
	switch t := t.(type) {
	case json.Number:
		if n, err := strconv.ParseInt(t.String(), 10, 64); err == nil {
			return n, nil
		}
		if !strings.ContainsAny(t.String(), ".eE") {
			return nil, fmt.Errorf("%s is too large an integer", t)
		}
		return strconv.ParseFloat(t.String(), 64)
	case json.Delim:
		if t == '[' {
			return readArray(d)
		}
		return readObject(d)
	}
	return t, nil // string, bool, nil
}

func readArray(d *json.Decoder) (Value, error) {
	l := &List{}
	for d.More() {
		v, err := readJSON(d)
		if err != nil {
			return nil, err
		}
		l.Items = append(l.Items, v)
	}
	_, err := d.Token()
	return l, err
}

func readObject(d *json.Decoder) (Value, error) {
	o := NewDict()
	for d.More() {
		key, err := d.Token()
		if err != nil {
			return nil, err
		}
		v, err := readJSON(d)
		if err != nil {
			return nil, err
		}
		o.Set(key.(string), v)
	}
	_, err := d.Token()
	return o, err
}

// jsonWriter is Python's json.dumps.
type jsonWriter struct {
	out            strings.Builder
	indent         string // "" for one line
	item, pair     string // separators
	ascii, sorting bool
	c              *call
}

// toJSON is transformers' filter: json.dumps with ensure_ascii=False.
func toJSON(c *call, v Value) Value {
	a := c.bind("ensure_ascii", "indent", "separators", "sort_keys")
	w := &jsonWriter{item: ", ", pair: ": ", ascii: truth(a[0]), sorting: truth(a[3]), c: c}
	if a[1] != nil && !absent(a[1]) {
		w.item = ","
		if s, ok := a[1].(string); ok {
			w.indent = s
		} else {
			w.indent = strings.Repeat(" ", min(max(0, c.whole(a[1], 0)), 100))
		}
		w.write(v, "\n"+w.indent)
		return c.s.text(w.out.String(), c.line)
	}
	if l, ok := a[2].(*List); ok && len(l.Items) == 2 {
		w.item, w.pair = str(l.Items[0]), str(l.Items[1])
	} else if a[2] != nil && !absent(a[2]) {
		fail(c.line, "tojson: separators are a pair of strings")
	}
	w.write(v, "")
	return c.s.text(w.out.String(), c.line)
}

// write writes v; line is the break before each member, "" for none.
func (w *jsonWriter) write(v Value, line string) {
	w.c.s.step(w.c.line)
	switch v := v.(type) {
	case nil:
		w.out.WriteString("null")
	case bool:
		w.out.WriteString(strconv.FormatBool(v))
	case int64, float64:
		s := repr(v)
		if n, ok := map[string]string{"nan": "NaN", "inf": "Infinity", "-inf": "-Infinity"}[s]; ok {
			s = n
		}
		w.out.WriteString(s)
	case string:
		w.string(v)
	case *List:
		w.members('[', ']', len(v.Items), line, func(i int, inner string) { w.write(v.Items[i], inner) })
	case *Dict:
		keys := v.keys
		if w.sorting {
			keys = slices.Sorted(slices.Values(keys))
		}
		w.members('{', '}', len(keys), line, func(i int, inner string) {
			w.string(keys[i])
			w.out.WriteString(w.pair)
			w.write(v.items[keys[i]], inner)
		})
	default:
		fail(w.c.line, "tojson of %s", kindOf(v))
	}
}

func (w *jsonWriter) members(open, end byte, n int, line string, one func(i int, inner string)) {
	w.out.WriteByte(open)
	inner := line
	if line != "" {
		inner += w.indent
	}
	for i := range n {
		if i > 0 {
			w.out.WriteString(w.item)
		}
		w.out.WriteString(line)
		one(i, inner)
	}
	if n > 0 && line != "" {
		w.out.WriteString(line[:len(line)-len(w.indent)])
	}
	w.out.WriteByte(end)
}

func (w *jsonWriter) string(s string) {
	w.out.WriteByte('"')
	for _, r := range s {
		switch {
		case r == '"' || r == '\\':
			w.out.WriteByte('\\')
			w.out.WriteRune(r)
		case r == '\n':
			w.out.WriteString(`\n`)
		case r == '\r':
			w.out.WriteString(`\r`)
		case r == '\t':
			w.out.WriteString(`\t`)
		case r == '\b':
			w.out.WriteString(`\b`)
		case r == '\f':
			w.out.WriteString(`\f`)
		case r < ' ', w.ascii && r > '~' && r < 0x10000:
			w.out.WriteString(`\u` + hex(r, 4))
		case w.ascii && r > '~':
			r -= 0x10000
			w.out.WriteString(`\u` + hex(0xd800+r>>10, 4) + `\u` + hex(0xdc00+r&0x3ff, 4))
		default:
			w.out.WriteRune(r)
		}
	}
	w.out.WriteByte('"')
}
