package tokenizer

import (
	"bytes"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
)

// object is a JSON object whose members must all be accounted for. at is
// its place in the file, for errors: "pre_tokenizer.pretokenizers[1]".
type object struct {
	at   string
	keys map[string]json.RawMessage
	err  error // the first error of the getters
}

// parseObject reads a JSON object.
func parseObject(at string, raw json.RawMessage) (*object, error) {
	o := &object{at: at}
	if err := json.Unmarshal(raw, &o.keys); err != nil {
		return nil, fmt.Errorf("tokenizer: %s: %w", at, err)
	}
	if o.keys == nil {
		return nil, fmt.Errorf("tokenizer: %s: want an object, got null", at)
	}
	return o, nil
}

// isNull reports whether raw is absent or JSON null.
func isNull(raw json.RawMessage) bool {
	return len(raw) == 0 || bytes.Equal(bytes.TrimSpace(raw), []byte("null"))
}

// take removes and returns a member; nil when it is absent or null.
func (o *object) take(key string) json.RawMessage {
	raw := o.keys[key]
	delete(o.keys, key)
	if isNull(raw) {
		return nil
	}
	return raw
}

func (o *object) fail(format string, args ...any) {
	if o.err == nil {
		o.err = fmt.Errorf("tokenizer: %s%s", o.at, fmt.Sprintf(format, args...))
	}
}

// get takes a member into v, which keeps its value when the member is absent
// and not required.
func (o *object) get(key string, v any, required bool) {
	raw := o.take(key)
	if raw == nil {
		if required {
			o.fail(".%s: missing", key)
		}
		return
	}
	if err := json.Unmarshal(raw, v); err != nil {
		o.fail(".%s: %v", key, err)
	}
}

// ignore drops members that do not change ids or decoded text.
func (o *object) ignore(keys ...string) {
	for _, k := range keys {
		delete(o.keys, k)
	}
}

// oneOf returns a required string member that must be one of allowed.
func (o *object) oneOf(key string, allowed ...string) string {
	var s string
	o.get(key, &s, true)
	if o.err == nil && !slices.Contains(allowed, s) {
		o.fail(".%s: %q is not implemented (known: %s)", key, s, strings.Join(allowed, ", "))
	}
	return s
}

// done returns the first error, counting members that nobody asked for: an
// option we do not know may change the result.
func (o *object) done() error {
	for _, k := range slices.Sorted(mapKeys(o.keys)) {
		if !isNull(o.keys[k]) {
			o.fail(".%s: unknown option, not implemented", k)
		}
	}
	return o.err
}

func mapKeys[V any](m map[string]V) func(yield func(string) bool) {
	return func(yield func(string) bool) {
		for k := range m {
			if !yield(k) {
				return
			}
		}
	}
}

// maxDepth bounds nested Sequence components.
const maxDepth = 8

// parseComponent reads one component of a stage (normalizer, pre_tokenizer …):
// null is no step; a Sequence holds more of them under the key list; anything
// else goes to one, which knows the types and takes their members.
func parseComponent[T any](at string, raw json.RawMessage, list string, depth int,
	one func(kind string, o *object) (T, bool)) ([]T, error) {
	if isNull(raw) {
		return nil, nil
	}
	o, err := parseObject(at, raw)
	if err != nil {
		return nil, err
	}
	var kind string
	o.get("type", &kind, true)
	if o.err != nil {
		return nil, o.err
	}
	if kind != "Sequence" {
		step, ok := one(kind, o)
		if !ok {
			return nil, fmt.Errorf("tokenizer: %s: type %q is not implemented", at, kind)
		}
		return []T{step}, o.done()
	}
	var members []json.RawMessage
	o.get(list, &members, true)
	if err := o.done(); err != nil {
		return nil, err
	}
	if depth >= maxDepth {
		return nil, fmt.Errorf("tokenizer: %s: more than %d nested sequences", at, maxDepth)
	}
	var steps []T
	for i, m := range members {
		more, err := parseComponent(fmt.Sprintf("%s.%s[%d]", at, list, i), m, list, depth+1, one)
		if err != nil {
			return nil, err
		}
		steps = append(steps, more...)
	}
	return steps, nil
}

// parsePattern takes the member "pattern", {"String": s} or {"Regex": s}.
func (o *object) parsePattern() (text string, regex bool) {
	raw := o.take("pattern")
	if raw == nil {
		o.fail(".pattern: missing")
		return "", false
	}
	p, err := parseObject(o.at+".pattern", raw)
	if err != nil {
		o.fail(".pattern: want {\"String\": …} or {\"Regex\": …}")
		return "", false
	}
	if _, regex = p.keys["Regex"]; regex {
		p.get("Regex", &text, true)
	} else {
		p.get("String", &text, true)
	}
	if err := p.done(); err != nil && o.err == nil {
		o.err = err
	}
	if text == "" {
		o.fail(".pattern: an empty pattern is not implemented")
	}
	return text, regex
}
