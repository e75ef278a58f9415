package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"strings"
	"testing"

	"concord/moo"
)

func TestMooSolve(t *testing.T) {
	for _, c := range []struct {
		cmd      mooSolveCmd
		in, want string
	}{
		{mooSolveCmd{Method: "mgda"}, `{"J": [[1,3],[-3,-1]]}`, `"weights":[0.5,0.5],"vector":[-1,1]`},
		{mooSolveCmd{Method: "mgda"}, `{"G": [[10,-6],[-6,10]], "losses": [1,2]}`, `{"weights":[0.5,0.5],"diagnostics":`},
		{mooSolveCmd{Method: "cagrad", Option: []string{"c=0", "rescale=none"}}, `{"J": [[2],[4]]}`, `"weights":[0.5,0.5],"vector":[3]`},
		{mooSolveCmd{Method: "static", Option: []string{"weights=1,3"}}, `{"J": [[4],[8]]}`, `"weights":[0.25,0.75],"vector":[7]`},
		{mooSolveCmd{Method: "mean"}, `{"J": [[2],[4]], "preference": [3,1]}`, `"weights":[0.75,0.25],"vector":[2.5]`},
		{mooSolveCmd{Method: "upgrad"}, `{"J": [[0,0],[3,4]]}`, `"weights":[0,1],"vector":[3,4]`},
		{mooSolveCmd{Method: "mgda"}, `{"J": [[1e200,0],[0,1e200]]}`, `"weights":[0.5,0.5],"vector":[5e+199,5e+199]`},
		{mooSolveCmd{Method: "mgda"}, `{"J": [[1e-310,0],[0,1e-310]]}`, `"weights":[0.5,0.5],"vector":[`},
		{mooSolveCmd{Method: "mean"}, `{"J": [[1.7e308,1.7e308]]}`, `"vector":[1.7e+308,1.7e+308]`},
		{mooSolveCmd{Method: "mean"}, `{"J": [[1],[2],[4]]}`, `0.3333333333333333,0.3333333333333333`},
	} {
		var out bytes.Buffer
		if err := c.cmd.solve(strings.NewReader(c.in), &out); err != nil {
			t.Errorf("%s %s: %v", c.cmd.Method, c.in, err)
		} else if !strings.Contains(out.String(), c.want) || !json.Valid(out.Bytes()) {
			t.Errorf("%s %s: %s, want %s", c.cmd.Method, c.in, out.String(), c.want)
		}
	}
}

// TestMooSolveErrors: every mistake is a usage error, exit code 2.
func TestMooSolveErrors(t *testing.T) {
	fine := `{"J": [[1]]}`
	for _, c := range []struct {
		cmd      mooSolveCmd
		in, want string
	}{
		{mooSolveCmd{Method: "cagard"}, fine, `did you mean "cagrad"?`},
		{mooSolveCmd{Method: "famo"}, `{"preference": [1,1]}`, `famo depends on the losses: give "losses"`},
		{mooSolveCmd{Method: "db-mtl"}, `{"J": [[1],[2]]}`, `db-mtl depends on the losses`},
		{mooSolveCmd{Method: "dwa"}, `{"losses": [1,-2]}`, `loss 2 is -2: losses are numbers above 0`},
		{mooSolveCmd{Method: "mgda"}, `{"J": [[1],[2]], "losses": [0,1]}`, `loss 1 is 0: losses are numbers above 0`},
		{mooSolveCmd{Method: "mgda"}, `{"G": [[0,5],[5,1]]}`, `a gradient of length 0 has no such inner product`},
		{mooSolveCmd{Method: "trimmed-mean", Option: []string{"trim=1.9"}}, fine, `want a whole number, got 1.9`},
		{mooSolveCmd{Method: "cagrad", Option: []string{"d=1"}}, fine, `unknown option "d"`},
		{mooSolveCmd{Method: "cagrad", Option: []string{"c"}}, fine, `want KEY=VALUE`},
		{mooSolveCmd{Method: "cagrad", Option: []string{"c=1", "c=2"}}, fine, `given twice`},
		{mooSolveCmd{Method: "mean"}, ``, `is empty`},
		{mooSolveCmd{Method: "mean"}, `{"J": [[NaN]]}`, `byte 9: not JSON`},
		{mooSolveCmd{Method: "mean"}, `{"J": [[1]`, `unexpected EOF`},
		{mooSolveCmd{Method: "mean"}, `{"J": [[1e999]]}`, `1e999 is not a number that a float64 holds`},
		{mooSolveCmd{Method: "mean"}, `{"J": [[null]]}`, `null is not a number`},
		{mooSolveCmd{Method: "mean"}, `{"J": [["NaN"]]}`, `"NaN" is not a number`},
		{mooSolveCmd{Method: "mean"}, `{"J": [[1,2],[3]]}`, `row 2 of J has 1 numbers, row 1 has 2`},
		{mooSolveCmd{Method: "mean"}, `{"J": []}`, `J is empty`},
		{mooSolveCmd{Method: "mean"}, `{"J": [[]]}`, `row 1 of J has 0 numbers`},
		{mooSolveCmd{Method: "mean"}, `{"J": 3}`, `cannot unmarshal number`},
		{mooSolveCmd{Method: "mean"}, `{"G": [[1,2]]}`, `G is not square`},
		{mooSolveCmd{Method: "mean"}, `{"G": [[1,0.5],[0.4,1]]}`, `row 2 column 1 is 0.4, row 1 column 2 is 0.5`},
		{mooSolveCmd{Method: "mean"}, `{"G": [[1,2],[2,1]]}`, `not a Gram matrix`},
		{mooSolveCmd{Method: "mean"}, `{"G": [[-1]]}`, `not a Gram matrix`},
		{mooSolveCmd{Method: "mean"}, `{"J": [[1]], "G": [[1]]}`, `want either "J"`},
		{mooSolveCmd{Method: "mean"}, `{}`, `want either "J"`},
		{mooSolveCmd{Method: "mgda"}, `{"losses": [1, 2]}`, `the Gram is empty`},
		{mooSolveCmd{Method: "graddrop"}, `{"G": [[1,0],[0,1]]}`, `needs the gradients themselves`},
		{mooSolveCmd{Method: "mean"}, `{"J": [[1]], "weights": [1]}`, `unknown field "weights"`},
		{mooSolveCmd{Method: "mean"}, fine + fine, `more than one`},
		{mooSolveCmd{Method: "mean"}, `{"J": [[1]], "losses": [1,2]}`, `2 losses for 1`},
		{mooSolveCmd{Method: "mean"}, `{"J": [[1],[2]], "preference": [1,0]}`, `want a number above 0`},
	} {
		var out bytes.Buffer
		err := c.cmd.solve(strings.NewReader(c.in), &out)
		var usage *usageError
		if !errors.As(err, &usage) || !strings.Contains(err.Error(), c.want) || out.Len() > 0 {
			t.Errorf("%s %v %s: error %v, want a usage error with %q", c.cmd.Method, c.cmd.Option, c.in, err, c.want)
		}
	}
}

func TestMooMethods(t *testing.T) {
	var out bytes.Buffer
	printMethods(&out, moo.Methods())
	for _, want := range []string{"mean\n", "static\n", "mgda\n", "pcgrad\n", "cagrad\n", "upgrad\n", "default 0.5", `default "random"`} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("no %q in\n%s", want, out.String())
		}
	}
}
