package config

import (
	"encoding"
	"fmt"
	"io"
	"reflect"
	"slices"
	"strconv"
	"strings"

	"github.com/BurntSushi/toml"
)

// Value is one effective setting.
type Value struct {
	Key    string `json:"key"`
	Value  any    `json:"value"`
	Origin string `json:"origin"` // "file:line", "-o" or "default"
}

// Values lists every setting in the order of Config, sources numbered.
func (c *Config) Values() []Value {
	var out []Value
	var walk func(v reflect.Value, prefix string)
	walk = func(v reflect.Value, prefix string) {
		for f, fv := range v.Fields() {
			tag := f.Tag.Get("toml")
			if tag == "" {
				continue
			}
			key := prefix + tag
			switch {
			case fv.Kind() == reflect.Struct:
				walk(fv, key+".")
			case fv.Kind() == reflect.Slice && fv.Type().Elem().Kind() == reflect.Struct:
				for i := range fv.Len() {
					walk(fv.Index(i), key+"."+strconv.Itoa(i)+".")
				}
			case fv.Kind() == reflect.Map:
				names := fv.MapKeys()
				if len(names) == 0 {
					out = append(out, Value{key, map[string]any{}, c.Origin(key)})
				}
				slices.SortFunc(names, func(a, b reflect.Value) int { return strings.Compare(a.String(), b.String()) })
				for _, n := range names {
					k := key + "." + toml.Key{n.String()}.String()
					out = append(out, Value{k, fv.MapIndex(n).Interface(), c.at(k)})
				}
			default:
				out = append(out, Value{key, fv.Interface(), c.Origin(key)})
			}
		}
	}
	walk(reflect.ValueOf(*c), "")
	return out
}

// Show writes every setting with its origin, as TOML with dotted keys.
func (c *Config) Show(w io.Writer) {
	for _, v := range c.Values() {
		value := fmt.Sprint(v.Value)
		switch x := v.Value.(type) {
		case string:
			value = strconv.Quote(x)
		case Paths:
			value = quoteList(x)
			if len(x) < 2 {
				value = strconv.Quote(x.String())
			}
		case []string:
			value = quoteList(x)
		case map[string]any:
			value = "{}"
		case []float64:
			value = numberList(x)
		case []int:
			value = numberList(x)
		default:
			if text, ok := asText(reflect.ValueOf(x)); ok {
				value = strconv.Quote(text)
			}
		}
		fmt.Fprintf(w, "%-28s = %-28s # %s\n", v.Key, value, v.Origin)
	}
}

// quoteList is a list of strings as TOML.
func quoteList(list []string) string {
	out := make([]string, len(list))
	for i, s := range list {
		out[i] = strconv.Quote(s)
	}
	return "[" + strings.Join(out, ", ") + "]"
}

// numberList is a list of numbers as TOML.
func numberList[T int | float64](list []T) string {
	out := make([]string, len(list))
	for i, x := range list {
		out[i] = fmt.Sprint(x)
	}
	return "[" + strings.Join(out, ", ") + "]"
}

// asText is a value that a run file writes as a string.
func asText(v reflect.Value) (string, bool) {
	if m, ok := v.Interface().(encoding.TextMarshaler); ok {
		text, err := m.MarshalText()
		return string(text), err == nil
	}
	return v.String(), v.Kind() == reflect.String
}
