package moo

import (
	"fmt"
	"math"
	"strconv"
	"strings"
)

// Option documents one hyper-parameter of a method. It is a choice between
// words, a list of numbers, or a number, perhaps a whole one, in [Min, Max].
type Option struct {
	Name    string   `json:"name"`
	Default any      `json:"default"`           // float64 or string; nil for a list that is not given
	Choices []string `json:"choices,omitempty"` // not empty: one of these words
	List    bool     `json:"list,omitempty"`    // a list of numbers, each in [Min, Max]
	Integer bool     `json:"integer,omitempty"` // a whole number
	Min     float64  `json:"min"`
	Max     float64  `json:"max"`
	Doc     string   `json:"doc"`
}

// The option that brings a method to the scale of a mean.
const (
	rescaleName = "rescale"
	rescaleNone = "none"
	rescaleMean = "mean"
)

// rescaleOption is for methods whose definition does not give back the row when
// all rows are equal.
func rescaleOption(meaning string) Option {
	return Option{Name: rescaleName, Default: rescaleNone, Choices: []string{rescaleNone, rescaleMean},
		Doc: `"none" is the paper's scale; "mean" ` + meaning + ", so that equal gradients give back that gradient (what training uses)"}
}

// values are a method's options by name, checked: float64, string or []float64.
type values map[string]any

func (v values) number(name string) float64 { return v[name].(float64) }
func (v values) word(name string) string    { return v[name].(string) }

// list is nil where the option was not given.
func (v values) list(name string) []float64 {
	l, _ := v[name].([]float64)
	return l
}

// parse checks a value and brings it to the option's type.
func (o Option) parse(value any) (any, error) {
	switch {
	case len(o.Choices) > 0:
		return o.parseWord(value)
	case o.List:
		return o.parseList(value)
	}
	return o.parseNumber(value)
}

func (o Option) parseWord(value any) (any, error) {
	s, ok := value.(string)
	if !ok {
		return nil, fmt.Errorf("want one of %s, got %v (%T)", quoted(o.Choices), value, value)
	}
	for _, c := range o.Choices {
		if s == c {
			return s, nil
		}
	}
	return nil, fmt.Errorf("want one of %s, got %q%s", quoted(o.Choices), s, didYouMean(s, o.Choices))
}

func (o Option) parseNumber(value any) (any, error) {
	var x float64
	switch n := value.(type) {
	case float64:
		x = n
	case float32:
		x = float64(n)
	case int64:
		x = float64(n)
	case int:
		x = float64(n)
	case string:
		parsed, err := strconv.ParseFloat(strings.TrimSpace(n), 64)
		if err != nil {
			return nil, fmt.Errorf("want a number, got %q", n)
		}
		x = parsed
	default:
		return nil, fmt.Errorf("want a number, got %v (%T)", value, value)
	}
	if !(x >= o.Min && x <= o.Max) { // NaN too
		return nil, fmt.Errorf("%v is outside %g … %g", x, o.Min, o.Max)
	}
	if o.Integer && x != math.Trunc(x) {
		return nil, fmt.Errorf("want a whole number, got %v", x)
	}
	return x, nil
}

func (o Option) parseList(value any) (any, error) {
	var items []any
	switch l := value.(type) {
	case []any:
		items = l
	case []float64:
		for _, x := range l {
			items = append(items, x)
		}
	case string:
		for _, s := range strings.Split(strings.Trim(strings.TrimSpace(l), "[]"), ",") {
			items = append(items, s)
		}
	default:
		return nil, fmt.Errorf("want a list of numbers, got %v (%T)", value, value)
	}
	out := make([]float64, len(items))
	for i, item := range items {
		x, err := o.parseNumber(item)
		if err != nil {
			return nil, fmt.Errorf("value %d: %w", i+1, err)
		}
		out[i] = x.(float64)
	}
	if len(out) == 0 {
		return nil, fmt.Errorf("want a list of numbers, got an empty one")
	}
	return out, nil
}

// quoted is `"a", "b"`.
func quoted(words []string) string {
	var q []string
	for _, w := range words {
		q = append(q, strconv.Quote(w))
	}
	return strings.Join(q, ", ")
}

// finite is true for numbers that are neither NaN nor infinite.
func finite(x float64) bool { return !math.IsNaN(x) && !math.IsInf(x, 0) }

// Values lists the values that the option accepts, for people.
func (o Option) Values() string {
	switch {
	case len(o.Choices) > 0:
		return fmt.Sprintf("one of %s; default %q", quoted(o.Choices), o.Default)
	case o.List:
		return fmt.Sprintf("a list of numbers, each in %g … %g", o.Min, o.Max)
	}
	kind := "a number"
	if o.Integer {
		kind = "a whole number"
	}
	return fmt.Sprintf("%s in %g … %g; default %v", kind, o.Min, o.Max, o.Default)
}
