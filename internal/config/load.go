package config

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strconv"
	"strings"

	"github.com/BurntSushi/toml"
)

// Error is a mistake in a run file or an override.
type Error struct {
	Where string // "run.toml:12", "-o optim.lr"
	Msg   string
	Fix   string // the line that repairs it, or ""
}

// UsageMistake says that the mistake is the user's: see internal/fault.
func (e *Error) UsageMistake() {}

func (e *Error) Error() string {
	s := e.Where + ": " + e.Msg
	if e.Fix != "" {
		s += "\n  fix: " + e.Fix
	}
	return s
}

// Load reads the run file at path, applies overrides of the form
// "section.key=value" and validates the result. Every error is an *Error.
func Load(path string, overrides []string) (*Config, error) {
	b, err := os.ReadFile(path)
	if err != nil {
		return nil, &Error{Where: path, Msg: "cannot read the run file: " + reason(err),
			Fix: "give the path of a TOML run file, as concord init writes it"}
	}
	return Parse(path, string(b), overrides)
}

// Parse is Load on text that is already in memory.
func Parse(path, text string, overrides []string) (*Config, error) {
	c := Default()
	c.path, c.origins = path, map[string]string{}
	if err := c.decode(path, text); err != nil {
		return nil, err
	}
	for _, o := range overrides {
		if err := c.override(o); err != nil {
			return nil, err
		}
	}
	if err := c.expandPaths(); err != nil {
		return nil, err
	}
	if err := c.paths(); err != nil {
		return nil, err
	}
	if err := c.expandFiles(); err != nil {
		return nil, err
	}
	c.derive()
	if err := c.validate(); err != nil {
		return nil, err
	}
	return c, nil
}

// sourceDefaults gives [[data.source]] elements their defaults: the decoder
// makes them from zero values. Sources written inline have no lines of their
// own to look at, and are refused.
func (c *Config) sourceDefaults(path string, places map[string]int) error {
	for i := range c.Data.Source {
		key := fmt.Sprintf("data.source.%d", i)
		if _, ok := places[key]; !ok {
			return &Error{Where: fmt.Sprintf("%s:%d", path, max(lineOf(places, "data.source"), lineOf(places, "data"))),
				Msg: "sources are written one table each", Fix: "[[data.source]]\n       lang = \"sw\"\n       path = \"data/sw.jsonl\""}
		}
		if _, ok := places[key+".train"]; !ok {
			c.Data.Source[i].Train = true
		}
	}
	return nil
}

func (c *Config) decode(path, text string) error {
	places := locate(text)
	md, err := toml.Decode(text, c)
	if err != nil {
		return decodeError(path, places, err)
	}
	if err := unknownKeys(path, places, md); err != nil {
		return err
	}
	for key, line := range places {
		c.origins[key] = fmt.Sprintf("%s:%d", path, line)
	}
	return c.sourceDefaults(path, places)
}

// override applies "section.key=value"; value is TOML, or a bare string.
func (c *Config) override(o string) error {
	where := "-o " + o
	key, value, ok := strings.Cut(o, "=")
	key, value = strings.TrimSpace(key), strings.TrimSpace(value)
	if !ok || key == "" || strings.ContainsAny(key, "[]\n") {
		return &Error{Where: where, Msg: "is not of the form section.key=value", Fix: "-o optim.lr=1e-4"}
	}
	if strings.HasPrefix(key, "objective.override") {
		return &Error{Where: where, Msg: "overrides of the method are a list and cannot be set one by one",
			Fix: "edit the [[objective.override]] tables of the run file"}
	}
	if strings.HasPrefix(key, "data.source") {
		return &Error{Where: where, Msg: "sources are a list and cannot be overridden one by one",
			Fix: "edit the [[data.source]] tables of the run file"}
	}
	if strings.ContainsAny(value, "\n") {
		return &Error{Where: where, Msg: "the value spans lines", Fix: "write it in one line, or in the run file"}
	}
	text := key + " = " + value
	if kind := knownKeys()[key]; kind == reflect.String && !strings.HasPrefix(value, `"`) && !strings.HasPrefix(value, "'") {
		text = key + " = " + strconv.Quote(value) // -o device.adapter=0 names an adapter, not a number
	}
	if _, err := toml.Decode(text, &map[string]any{}); err != nil {
		text = key + " = " + strconv.Quote(value)
	}
	md, err := toml.Decode(text, c)
	if err != nil {
		return &Error{Where: where, Msg: typeMessage(err, key), Fix: exampleOf(key)}
	}
	if err := unknownKeys("-o", map[string]int{}, md); err != nil {
		var e *Error
		errors.As(err, &e)
		e.Where = where
		return e
	}
	c.origins[key] = "-o"
	return nil
}

// unknownKeys refuses keys that no field takes, and keys that a field takes
// only because the decoder ignores case.
func unknownKeys(path string, places map[string]int, md toml.MetaData) error {
	known := knownKeys()
	for _, k := range md.Keys() {
		key := k.String()
		if _, ok := known[key]; ok || freeKey(key) {
			continue
		}
		where := path
		if l := lineOf(places, key); l > 0 {
			where = fmt.Sprintf("%s:%d", path, l)
		}
		return &Error{Where: where, Msg: fmt.Sprintf("unknown key %q", key), Fix: suggest(key, known)}
	}
	return nil
}

// freeKey says that the last part of key is the user's: a language, an option of a
// method, or a module.
func freeKey(key string) bool {
	for _, p := range []string{"objective.options.", "objective.weights.", "objective.preferences.", "objective.override.options.",
		"data.source.columns.", "data.source.roles.", "adapter.rank_pattern.", "adapter.alpha_pattern."} {
		if strings.HasPrefix(key, p) {
			return true
		}
	}
	return false
}

// lineOf finds key in places, in any element of an array of tables.
func lineOf(places map[string]int, key string) int {
	if l, ok := places[key]; ok {
		return l
	}
	best := 0
	for k, l := range places {
		if stripIndex(k) == key && (best == 0 || l < best) {
			best = l
		}
	}
	return best
}

func stripIndex(key string) string {
	parts := strings.Split(key, ".")
	out := parts[:0]
	for _, p := range parts {
		if _, err := strconv.Atoi(p); err != nil {
			out = append(out, p)
		}
	}
	return strings.Join(out, ".")
}

// knownKeys lists every key path of Config, without indices.
func knownKeys() map[string]reflect.Kind {
	keys := map[string]reflect.Kind{}
	var walk func(t reflect.Type, prefix string)
	walk = func(t reflect.Type, prefix string) {
		for f := range t.Fields() {
			tag := f.Tag.Get("toml")
			if tag == "" {
				continue
			}
			key := prefix + tag
			keys[key] = f.Type.Kind()
			switch {
			case f.Type.Kind() == reflect.Struct:
				walk(f.Type, key+".")
			case f.Type.Kind() == reflect.Slice && f.Type.Elem().Kind() == reflect.Struct:
				walk(f.Type.Elem(), key+".")
			}
		}
	}
	walk(reflect.TypeFor[Config](), "")
	return keys
}

// decodeError turns the decoder's errors into an *Error with a place.
func decodeError(path string, places map[string]int, err error) error {
	var pe toml.ParseError
	if errors.As(err, &pe) {
		where := fmt.Sprintf("%s:%d", path, pe.Position.Line)
		msg := pe.Message
		if msg == "" {
			msg = pe.Error()
		}
		fix := ""
		if filepath.Ext(path) != ".toml" {
			fix = "is this a run file? Give the path of a TOML file, as concord init writes it"
		}
		if strings.Contains(msg, "escape") {
			fix = `write a path with / ("data/sw.jsonl"), or in single quotes ('data\sw.jsonl'): a backslash in double quotes is an escape`
		}
		return &Error{Where: where, Msg: msg, Fix: fix}
	}
	msg := err.Error()
	where := path
	var line int
	var key string
	if n, _ := fmt.Sscanf(msg, "toml: line %d (last key %q)", &line, &key); n >= 1 {
		where = fmt.Sprintf("%s:%d", path, line)
		if key != "" { // the decoder reports the key's table line for nested values
			if l := lineOf(places, key); l > 0 {
				where = fmt.Sprintf("%s:%d", path, l)
			}
		}
	}
	return &Error{Where: where, Msg: typeMessage(err, key), Fix: exampleOf(key)}
}

// exampleOf is a line of the run file that sets the key; "" for an unknown one.
func exampleOf(key string) string {
	for _, k := range Keys() {
		if key != "" && k.Name == stripIndex(key) {
			return fmt.Sprintf("%s  # in %s", k.Example, k.Section())
		}
	}
	return ""
}

// typeMessage says a type mismatch of the key in the user's words.
func typeMessage(err error, key string) string {
	msg := strings.TrimPrefix(err.Error(), "toml: ")
	if i := strings.Index(msg, "incompatible types: "); i >= 0 {
		rest := msg[i+len("incompatible types: "):]
		r := strings.NewReplacer("TOML value has type ", "the value is a ", "destination has type ", "this key takes a ", "float64", "float",
			"uint64", "non-negative integer", "; ", ", ")
		return fmt.Sprintf("wrong type for %q: %s", key, strings.ReplaceAll(r.Replace(rest), " a integer", " an integer"))
	}
	return msg
}

func reason(err error) string {
	var pe *os.PathError
	if errors.As(err, &pe) {
		return pe.Err.Error()
	}
	return err.Error()
}

// Restore is a configuration that was stored as JSON by an earlier part of a
// run, with the run file's path for resolving the paths in it.
func Restore(path string, stored *Config) *Config {
	c := *stored
	c.path, c.origins, c.restored = path, map[string]string{}, true
	return &c
}

// UnmarshalJSON reads a configuration that was stored. Settings that it does not have,
// as they are newer than the run, have their defaults.
func (c *Config) UnmarshalJSON(b []byte) error {
	type plain Config // without this method
	p := plain(*Default())
	if err := json.Unmarshal(b, &p); err != nil {
		return err
	}
	*c = Config(p)
	return nil
}

// Validate checks a configuration that came from another machine.
func (c *Config) Validate() error { return c.validate() }

// Override applies overrides to c and validates the result. Only keys in
// allowed (or below one that ends in a dot) are taken.
func (c *Config) Override(overrides, allowed []string) error {
	for _, o := range overrides {
		key, _, _ := strings.Cut(o, "=")
		key = strings.TrimSpace(key)
		if !Among(key, allowed) {
			return &Error{Where: "-o " + o, Msg: key + " cannot change in the middle of a run",
				Fix: "allowed here: " + strings.Join(allowed, ", ") + "; start a new run for the rest"}
		}
		if err := c.override(o); err != nil {
			return err
		}
	}
	if err := c.expandPaths(); err != nil {
		return err
	}
	return c.validate()
}

// Among says that key is one of keys; one that ends in a dot stands for a whole section.
func Among(key string, keys []string) bool {
	return slices.ContainsFunc(keys, func(k string) bool {
		return key == k || strings.HasSuffix(k, ".") && strings.HasPrefix(key, k)
	})
}

// derive fills values that follow from others.
func (c *Config) derive() {
	if c.Run.Name == "" && c.path != "" {
		if abs, err := filepath.Abs(c.path); err == nil {
			c.Run.Name = filepath.Base(filepath.Dir(abs))
		}
	}
	if c.Data.MaxLen == 0 {
		c.Data.MaxLen = c.Batch.SeqLen
	}
}
