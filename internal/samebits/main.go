// Command samebits shows that a change of structure changed no result: it trains the
// same short runs with two binaries and compares the final weights and the numbers of
// metrics.jsonl to the last bit.
//
//	go build -o bin/old ./cmd/concord    # at the commit before
//	go build -o bin/concord ./cmd/concord
//	go run ./internal/samebits -old bin/old -new bin/concord
//
// Both binaries run on this machine's adapter, one after the other. With -new left
// away the old binary is compared with itself, which shows that the runs are
// deterministic here. Exit status 1: some run differs.
package main

import (
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// variant is one short run: a run file and the settings of its own.
type variant struct {
	name  string
	file  string
	spawn bool     // on three workers
	set   []string // -o section.key=value
}

func demo(name string, set ...string) variant {
	return variant{name: name, file: "examples/names8/run.toml", set: append(set, "probe.every=10")}
}

func three(name string, set ...string) variant {
	set = append(set, `cluster.wire="f32"`, `cluster.shares="equal"`, "cluster.deadline=false")
	return variant{name: name, file: "examples/three/run.toml", spawn: true, set: set}
}

// variants cover every path of a step: methods on losses, on the Gram and by element;
// every scope; wrappers; and the five exchanges, a single machine among them.
var variants = []variant{
	demo("mean", `objective.method="mean"`),
	demo("pcgrad", `objective.method="pcgrad"`),
	demo("mgda-layer", `objective.method="mgda"`),
	demo("mgda-tensor", `objective.method="mgda"`, `objective.scope="tensor"`),
	demo("mgda-global", `objective.method="mgda"`, `objective.scope="global"`),
	demo("graddrop", `objective.method="graddrop"`),
	demo("dwa", `objective.method="dwa"`),
	demo("metric-adam", `objective.metric="adam"`),
	demo("noise-halves", "objective.noise.halves=true"),
	demo("noise-halves-rows", "objective.noise.halves=true", `objective.gram="rows"`), // without late rows (docs/adr/0028)
	demo("accumulate", "batch.accumulate=2", "batch.rows=8"),
	three("three-gradients"),
	three("three-local", `cluster.resolve="local"`),
	three("three-parameters", `cluster.sync="parameters"`),
	three("three-outer", "cluster.outer=5"),
}

func main() {
	old := flag.String("old", "", "binary of before")
	new := flag.String("new", "", "binary of after; the old one again where it is left away")
	steps := flag.Int("steps", 20, "steps of each run")
	only := flag.String("only", "", "names of variants, separated by commas; all where it is left away")
	flag.Parse()
	if *old == "" || flag.NArg() > 0 {
		fmt.Fprintln(os.Stderr, "usage: samebits -old BINARY [-new BINARY] [-steps N] [-only NAME,NAME]")
		os.Exit(2)
	}
	if *new == "" {
		*new = *old
	}
	if !compare(*old, *new, *steps, *only) {
		os.Exit(1)
	}
}

// compare trains every variant with both binaries and prints a line for each.
func compare(old, new string, steps int, only string) (same bool) {
	same = true
	n := 0
	for _, v := range variants {
		if only != "" && !strings.Contains(","+only+",", ","+v.name+",") {
			continue
		}
		n++
		a, err := v.run(old, steps)
		if err == nil {
			var b result
			if b, err = v.run(new, steps); err == nil {
				err = a.differs(b)
			}
		}
		if err != nil {
			same = false
			fmt.Printf("DIFFERS %-18s %v\n", v.name, err)
			continue
		}
		fmt.Printf("same    %-18s weights %.12s  metrics %.12s\n", v.name, a.weights, a.metrics)
	}
	if n == 0 {
		fmt.Fprintf(os.Stderr, "samebits: no variant is called %q\n", only)
		return false
	}
	return same
}

// run trains the variant in a folder of its own and hashes the results.
func (v variant) run(binary string, steps int) (result, error) {
	dir, err := os.MkdirTemp("", "samebits")
	if err != nil {
		return result{}, err
	}
	defer os.RemoveAll(dir)
	args := []string{"train", v.file, "--plain"}
	if v.spawn {
		args = append(args, "--spawn", "2")
	}
	// A constant learning rate and no evaluation: their details may change on purpose. Kernels
	// that are chosen by measurement sum in an order that depends on the machine's load.
	set := append([]string{"run.dir=" + quote(dir), `run.name="run"`, fmt.Sprintf("schedule.steps=%d", steps),
		`schedule.kind="constant"`, "schedule.warmup=0",
		"eval.first=false", "eval.last=false", "eval.every=0", "checkpoint.every=0", "log.gram_every=5", `model.save_dtype="f32"`,
		"device.autotune=false"}, v.set...)
	for _, s := range set {
		args = append(args, "-o", s)
	}
	if out, err := exec.Command(binary, args...).CombinedOutput(); err != nil {
		return result{}, fmt.Errorf("%s: %w\n%s", binary, err, out)
	}
	return readResult(filepath.Join(dir, "run"))
}

func quote(s string) string { return fmt.Sprintf("%q", s) }
