package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"

	"gonum.org/v1/gonum/mat"

	"concord/moo"
)

// mooProblem is the input of moo solve, checked.
type mooProblem struct {
	jacobian           [][]float64 // nil where G was given
	gram               *mat.SymDense
	scale              float64 // gram is that of jacobian / scale
	losses, preference []float64
	tokens             []float64
}

// number is a float64 that JSON's null, text and overflow cannot turn into.
type number float64

// UnmarshalJSON implements json.Unmarshaler.
func (n *number) UnmarshalJSON(text []byte) error {
	var x *float64
	if err := json.Unmarshal(text, &x); err != nil || x == nil {
		return fmt.Errorf("%s is not a number that a float64 holds", text)
	}
	*n = number(*x)
	return nil
}

// readMooProblem parses {"J" or "G", "losses", "tokens", "preference"}.
func readMooProblem(in io.Reader) (*mooProblem, error) {
	var raw struct {
		J          [][]number `json:"J"`
		G          [][]number `json:"G"`
		Losses     []number   `json:"losses"`
		Tokens     []number   `json:"tokens"`
		Preference []number   `json:"preference"`
	}
	decoder := json.NewDecoder(in)
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(&raw); err != nil {
		return nil, mooSyntax(err)
	}
	if _, err := decoder.Token(); err != io.EOF {
		return nil, usagef("moo solve: standard input holds more than one JSON object")
	}
	p := &mooProblem{scale: 1, losses: floats(raw.Losses), preference: floats(raw.Preference), tokens: floats(raw.Tokens)}
	var err error
	switch {
	case raw.J == nil && raw.G == nil && len(p.losses)+len(p.tokens)+len(p.preference) > 0: // for methods that need no gradients
	case (raw.J == nil) == (raw.G == nil):
		return nil, usagef(`moo solve: want either "J" (gradients, one a row) or "G" (their inner products)`)
	case raw.J != nil:
		err = p.setJacobian(rows(raw.J))
	default:
		err = p.setGram(rows(raw.G))
	}
	return p, err
}

// mooSyntax explains errors of encoding/json.
func mooSyntax(err error) error {
	var syntax *json.SyntaxError
	switch {
	case errors.Is(err, io.EOF):
		return usagef(`moo solve: standard input is empty: want JSON, e.g. {"J": [[1, 2], [-1, 1]]}`)
	case errors.As(err, &syntax):
		return usagef("moo solve: standard input, byte %d: not JSON: %v (JSON has no NaN or Infinity)", syntax.Offset, err)
	}
	return usagef("moo solve: standard input: %v", err)
}

// setJacobian checks that the rows are equally long and takes the Gram of J
// divided by a power of two where squares would over- or underflow.
func (p *mooProblem) setJacobian(j [][]float64) error {
	if len(j) == 0 {
		return usagef("moo solve: J is empty")
	}
	largest := 0.0
	for i, row := range j {
		if len(row) == 0 || len(row) != len(j[0]) {
			return usagef("moo solve: row %d of J has %d numbers, row 1 has %d", i+1, len(row), len(j[0]))
		}
		for _, x := range row {
			largest = max(largest, math.Abs(x))
		}
	}
	if largest > 0 && (largest > 1e100 || largest < 1e-100) {
		_, exponent := math.Frexp(largest)
		p.scale = math.Ldexp(1, max(exponent-1, -1022))
	}
	p.jacobian, p.gram = j, mat.NewSymDense(len(j), nil)
	for a := range j {
		for b := range a + 1 {
			sum := 0.0
			for n := range j[a] {
				sum += (j[a][n] / p.scale) * (j[b][n] / p.scale)
			}
			p.gram.SetSym(a, b, sum)
		}
	}
	return nil
}

// setGram checks that G is square and symmetric up to rounding.
func (p *mooProblem) setGram(g [][]float64) error {
	if len(g) == 0 {
		return usagef("moo solve: G is empty")
	}
	for i, row := range g {
		if len(row) != len(g) {
			return usagef("moo solve: G is not square: %d rows, but row %d has %d numbers", len(g), i+1, len(row))
		}
	}
	p.gram = mat.NewSymDense(len(g), nil)
	for i := range g {
		for j := range i + 1 {
			bound := math.Sqrt(math.Abs(g[i][i])) * math.Sqrt(math.Abs(g[j][j]))
			if math.Abs(g[i][j]-g[j][i]) > 1e-6*max(bound, math.Abs(g[i][j])) {
				return usagef("moo solve: G is not symmetric: row %d column %d is %v, row %d column %d is %v", i+1, j+1, g[i][j], j+1, i+1, g[j][i])
			}
			if bound == 0 && g[i][j] != 0 {
				return usagef("moo solve: G is not a Gram matrix: row %d column %d is %v, but a gradient of length 0 has no such inner product",
					i+1, j+1, g[i][j])
			}
			p.gram.SetSym(i, j, g[i][j]/2+g[j][i]/2)
		}
	}
	return nil
}

// checkLosses refuses losses that are not positive, for which no method is defined, and
// losses that the method needs and that were not given.
func (p *mooProblem) checkLosses(method string) error {
	for i, l := range p.losses {
		if !(l > 0) {
			return usagef("moo solve: loss %d is %v: losses are numbers above 0", i+1, l)
		}
	}
	if info, ok := moo.Lookup(method); ok && info.UsesLosses && p.losses == nil {
		return usagef(`moo solve: %s depends on the losses: give "losses", one number above 0 for each gradient`, method)
	}
	return nil
}

func floats(numbers []number) []float64 {
	if numbers == nil {
		return nil
	}
	out := make([]float64, len(numbers))
	for i, x := range numbers {
		out[i] = float64(x)
	}
	return out
}

func rows(numbers [][]number) [][]float64 {
	out := make([][]float64, len(numbers))
	for i, row := range numbers {
		out[i] = floats(row)
	}
	return out
}
