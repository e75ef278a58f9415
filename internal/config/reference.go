package config

import (
	"fmt"
	"reflect"
	"slices"
	"strconv"
	"strings"
)

//go:generate go run ./gen

// Key is one setting of a run file. It comes from the fields of Config: their types,
// their tags (one: the allowed values; range: the bounds; eg: an example), their
// comments and Default.
type Key struct {
	Name    string `json:"key"` // with dots: "optim.lr", "data.source.lang"
	Type    string `json:"type"`
	Default string `json:"default"` // as TOML
	Allowed string `json:"allowed"` // the values or bounds; "" for any of the type
	Meaning string `json:"meaning"`
	Example string `json:"example"` // a line of the run file, without its section
}

// Section is the header under which the key stands.
func (k Key) Section() string { return section(k.Name) }

func section(key string) string {
	i := strings.LastIndex(key, ".")
	switch {
	case i < 0:
		return ""
	case key[:i] == "data.source" || key[:i] == "objective.override":
		return "[[" + key[:i] + "]]"
	}
	return "[" + key[:i] + "]"
}

// Keys lists every setting in the order of Config.
func Keys() []Key {
	var out []Key
	eachField(reflect.ValueOf(*Default()), "", func(key string, f reflect.StructField, v reflect.Value) {
		out = append(out, Key{Name: key, Type: typeName(f.Type), Default: defaultOf(key, v), Allowed: allowed(f), Meaning: meanings[key],
			Example: last(key) + " = " + example(f)})
	})
	return out
}

// Explain finds a key, by its whole name or the last part of it.
func Explain(name string) ([]Key, error) {
	var found []Key
	known := map[string]bool{}
	for _, k := range Keys() {
		known[k.Name] = true
		if k.Name == name {
			return []Key{k}, nil
		}
		if last(k.Name) == name || strings.HasPrefix(k.Name, name+".") {
			found = append(found, k)
		}
	}
	if len(found) == 0 {
		fix := suggest(name, known)
		if strings.HasPrefix(fix, "remove") { // nothing is written that could be
			fix = "docs/config.md has every key; a section's name, such as optim, explains all of its keys"
		}
		return nil, &Error{Where: name, Msg: "no such key", Fix: fix}
	}
	return found, nil
}

// eachField gives every setting of a struct to f; the settings of a list of tables
// once, with the defaults of its elements.
func eachField(v reflect.Value, prefix string, f func(key string, field reflect.StructField, v reflect.Value)) {
	for field, fv := range v.Fields() {
		tag := field.Tag.Get("toml")
		key := prefix + tag
		switch {
		case tag == "":
		case fv.Kind() == reflect.Struct:
			eachField(fv, key+".", f)
		case fv.Kind() == reflect.Slice && field.Type.Elem().Kind() == reflect.Struct:
			eachField(reflect.Zero(field.Type.Elem()), key+".", f)
		default:
			f(key, field, fv)
		}
	}
}

func last(key string) string { return key[strings.LastIndex(key, ".")+1:] }

// typeName is a field's type in the words of TOML.
func typeName(t reflect.Type) string {
	switch t {
	case reflect.TypeFor[Paths]():
		return "path, or list of paths"
	case reflect.TypeFor[Size]():
		return "size"
	case reflect.TypeFor[Scope]():
		return "string"
	}
	switch t.Kind() {
	case reflect.String:
		return "string"
	case reflect.Bool:
		return "true or false"
	case reflect.Float64:
		return "number"
	case reflect.Slice:
		return "list of " + typeName(t.Elem()) + "s"
	case reflect.Map:
		return "table"
	}
	return "integer"
}

// defaultOf is a default value as TOML.
func defaultOf(key string, v reflect.Value) string {
	switch key {
	case "data.source.train":
		return "true"
	case "run.name":
		return "the run file's folder"
	}
	switch v.Interface().(type) {
	case Paths:
		return `""`
	}
	if text, ok := asText(v); ok {
		return strconv.Quote(text)
	}
	switch v.Kind() {
	case reflect.Map:
		return "{}"
	case reflect.Slice:
		var parts []string
		for i := range v.Len() {
			parts = append(parts, fmt.Sprint(v.Index(i).Interface()))
		}
		return "[" + strings.Join(parts, ", ") + "]"
	}
	return fmt.Sprint(v.Interface())
}

// allowed says which values of its type a field takes.
func allowed(f reflect.StructField) string {
	if one, ok := f.Tag.Lookup("one"); ok {
		var quoted []string
		for v := range strings.SplitSeq(one, ",") {
			quoted = append(quoted, strconv.Quote(v))
		}
		return strings.Join(quoted, ", ")
	}
	if r := f.Tag.Get("range"); r != "" {
		lo, hi, _ := strings.Cut(r, ",")
		return lo + " … " + hi
	}
	return ""
}

// example is a field's example as TOML.
func example(f reflect.StructField) string {
	eg := f.Tag.Get("eg")
	switch f.Type.Kind() {
	case reflect.String:
		return strconv.Quote(eg)
	case reflect.Slice:
		if f.Type.Elem().Kind() != reflect.String {
			return eg
		}
		parts := strings.Split(eg, ",")
		for i, p := range parts {
			parts[i] = strconv.Quote(p)
		}
		if f.Type == reflect.TypeFor[Paths]() && len(parts) == 1 {
			return parts[0]
		}
		return "[" + strings.Join(parts, ", ") + "]"
	}
	if f.Type == reflect.TypeFor[Size]() || f.Type == reflect.TypeFor[Scope]() {
		return strconv.Quote(eg)
	}
	return eg
}

// checkTags checks every setting against its field's tags.
func (c *Config) checkTags() error {
	var first error
	check := func(prefix string, v reflect.Value) {
		eachField(v, prefix, func(key string, f reflect.StructField, v reflect.Value) {
			if first == nil && !strings.HasPrefix(key, "data.source.") && !strings.HasPrefix(key, "objective.override.") ||
				prefix != "" && first == nil {
				first = c.checkField(key, f, v)
			}
		})
	}
	check("", reflect.ValueOf(*c))
	for i := range c.Data.Source {
		check(fmt.Sprintf("data.source.%d.", i), reflect.ValueOf(c.Data.Source[i]))
	}
	return first
}

// checkField checks one value against its field's tags.
func (c *Config) checkField(key string, f reflect.StructField, v reflect.Value) error {
	if one, ok := f.Tag.Lookup("one"); ok {
		return c.oneOf(key, v.String(), strings.Split(one, ",")...)
	}
	r := f.Tag.Get("range")
	if r == "" {
		return nil
	}
	lo, hi, _ := strings.Cut(r, ",")
	low, err1 := strconv.ParseFloat(lo, 64)
	high, err2 := strconv.ParseFloat(hi, 64)
	if err1 != nil || err2 != nil {
		panic("config: the tag of " + key) // a test reads all tags
	}
	x := 0.0
	if v.CanFloat() {
		x = v.Float()
	} else {
		x = float64(v.Int())
	}
	return c.inRange(key, x, low, high, last(key)+" = "+example(f))
}

// Sections are the headers of a run file, in order.
func Sections() []string {
	var out []string
	for _, k := range Keys() {
		if s := k.Section(); !slices.Contains(out, s) {
			out = append(out, s)
		}
	}
	return out
}
