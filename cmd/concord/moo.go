package main

import (
	"encoding/json"
	"fmt"
	"io"
	"math"
	"os"
	"strings"

	"concord/moo"
)

type mooCmd struct {
	Solve   mooSolveCmd   `cmd:"" help:"Weights and combined gradient for the gradients or the Gram matrix given as JSON on standard input."`
	Methods mooMethodsCmd `cmd:"" help:"List the methods with their rules, options and guarantees."`
}

type mooSolveCmd struct {
	Method string   `required:"" help:"Method (see concord moo methods)." placeholder:"NAME"`
	Option []string `sep:"none" help:"Option of the method; repeatable." placeholder:"KEY=VALUE"`
	Seed   uint64   `help:"Seed of the methods that draw random numbers."`
	Step   int64    `help:"Training step: another key of the random numbers."`
	Bucket int      `help:"Bucket: another key of the random numbers."`
	JSON   bool     `help:"Accepted for symmetry: the output is always JSON."`
}

// Help is printed by --help after the one-line description.
func (c *mooSolveCmd) Help() string {
	return `Input: {"J": [[…], …]}, one gradient a row, or {"G": [[…], …]}, their inner products;
optionally "losses", "tokens" (sizes of the data) and "preference", one number per gradient.
Methods that need no gradients take "losses", "tokens" or "preference" alone; those that work
element by element take J and give a vector without weights.
Output: {"weights": […], "vector": […], "diagnostics": {…}}; vector = Jᵀ weights, only where J is given.
Methods are on their papers' scale (training adds rescale=mean).

  echo '{"J": [[-4,1,1],[6,1,1]]}' | concord moo solve --method upgrad`
}

func (c *mooSolveCmd) Run() error { return c.solve(os.Stdin, os.Stdout) }

// mooResult is the output of moo solve.
type mooResult struct {
	Weights     []float64          `json:"weights,omitempty"`
	Vector      []float64          `json:"vector,omitempty"`
	Diagnostics map[string]float64 `json:"diagnostics"`
}

func (c *mooSolveCmd) solve(in io.Reader, out io.Writer) error {
	options, err := mooOptions(c.Option)
	if err != nil {
		return err
	}
	method, err := moo.New(c.Method, options)
	if err != nil {
		return usagef("%v", err)
	}
	p, err := readMooProblem(in)
	if err != nil {
		return err
	}
	if err := p.checkLosses(c.Method); err != nil {
		return err
	}
	problem := moo.Input{G: p.gram, Losses: p.losses, Tokens: p.tokens, Preference: p.preference, Seed: c.Seed, Step: c.Step, Bucket: c.Bucket}
	if _, ok := method.(moo.Elementwise); ok && p.jacobian != nil {
		return c.elementwise(method, problem, p, out)
	}
	r, err := moo.Solve(method, problem)
	if err != nil {
		return usagef("%v", err)
	}
	if off := r.Diagnostics["repaired"]; off > maxRepair {
		return usagef("moo solve: G is not a Gram matrix: it is indefinite by %.2g of the norms, so that no gradients have these "+
			"inner products", off)
	}
	if _, ok := r.Diagnostics["norm"]; !ok {
		return json.NewEncoder(out).Encode(mooResult{Weights: r.Weights, Diagnostics: r.Diagnostics})
	}
	if r.Diagnostics["norm"] *= p.scale; math.IsInf(r.Diagnostics["norm"], 0) {
		delete(r.Diagnostics, "norm")
	}
	answer := mooResult{Weights: r.Weights, Diagnostics: r.Diagnostics}
	if p.jacobian != nil {
		if answer.Vector, err = p.combine(r.Weights); err != nil {
			return err
		}
	}
	return json.NewEncoder(out).Encode(answer)
}

// elementwise prints the combined gradient of a method that has no weights.
func (c *mooSolveCmd) elementwise(m moo.Method, in moo.Input, p *mooProblem, out io.Writer) error {
	d, err := moo.CombineRows(m, p.jacobian, in)
	if err != nil {
		return usagef("%v", err)
	}
	return json.NewEncoder(out).Encode(mooResult{Vector: d, Diagnostics: map[string]float64{}})
}

// combine is Jᵀ w.
func (p *mooProblem) combine(w []float64) ([]float64, error) {
	d := make([]float64, len(p.jacobian[0]))
	for n := range d {
		for m, row := range p.jacobian {
			if w[m] != 0 {
				d[n] += w[m] * row[n]
			}
		}
		if math.IsInf(d[n], 0) || math.IsNaN(d[n]) {
			return nil, usagef("moo solve: component %d of the vector overflows: give smaller gradients", n+1)
		}
	}
	return d, nil
}

// maxRepair is how indefinite a given G may be, relative to its norms: more
// than any rounding, float16 included, makes of a Gram.
const maxRepair = 1e-2

// mooOptions parses key=value arguments.
func mooOptions(args []string) (map[string]any, error) {
	options := map[string]any{}
	for _, arg := range args {
		key, value, ok := strings.Cut(arg, "=")
		if !ok || key == "" {
			return nil, usagef("--option %q: want KEY=VALUE, e.g. --option c=0.4", arg)
		}
		if _, again := options[key]; again {
			return nil, usagef("--option %s is given twice", key)
		}
		options[key] = value
	}
	return options, nil
}

type mooMethodsCmd struct {
	JSON bool `help:"Print as JSON."`
}

func (c *mooMethodsCmd) Run() error {
	if c.JSON {
		return printJSON(moo.Methods())
	}
	printMethods(os.Stdout, moo.Methods())
	return nil
}

// needs names the inputs that a method's weights depend on, and their cost.
var needs = map[moo.Needs]string{
	moo.NeedsNothing: "nothing: a step costs what a plain one does",
	moo.NeedsLosses:  "the losses of earlier steps: a step costs what a plain one does",
	moo.NeedsGram:    "the Gram of every bucket",
	moo.NeedsRows:    "the gradients' single values in every bucket",
}

// printMethods lists methods for people.
func printMethods(w io.Writer, methods []moo.Info) {
	for i, m := range methods {
		if i > 0 {
			fmt.Fprintln(w)
		}
		fmt.Fprintf(w, "%s\n  rule        %s\n  guarantees  %s\n  needs       %s\n", m.Name, m.Rule, m.Guarantees, needs[m.Needs])
		if m.Paper != "" {
			fmt.Fprintf(w, "  paper       %s\n", m.Paper)
		}
		for _, o := range m.Options {
			fmt.Fprintf(w, "  option      %s: %s\n", o.Name, o.Doc)
			fmt.Fprintf(w, "              %s\n", o.Values())
		}
	}
}
