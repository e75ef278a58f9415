package main

import (
	"encoding/json"
	"strings"
	"testing"

	"concord/internal/train"
	"concord/internal/train/traintest"
)

// concord plan has the bytes that machines send, for as many as the flag or the run file has, and how to get the time.
func TestPlanOfMachines(t *testing.T) {
	traintest.RequireAdapter(t)
	run := traintest.Run(t, nil)
	plan := func(args ...string) (out struct {
		Wire []train.WirePlan
		Time *train.StepTime
	}) {
		t.Helper()
		code, stdout, stderr := concord(t, "", append([]string{"plan", run, "--json"}, args...)...)
		if err := json.Unmarshal([]byte(stdout), &out); code != 0 || err != nil {
			t.Fatalf("%v: exit code %d, %v\n%s", args, code, err, stderr)
		}
		return out
	}
	one := plan()
	if len(one.Wire) != 1 || one.Wire[0].Machines != 1 || one.Wire[0].Total() != 0 || one.Time != nil {
		t.Errorf("one machine: %+v", one)
	}
	two := plan("--workers", "2")
	if len(two.Wire) != 1 || len(two.Wire[0].Up) != 2 || two.Wire[0].Total() == 0 || two.Wire[0].Format != "bf16" {
		t.Errorf("two machines: %+v", two)
	}
	open := plan("-o", "cluster.listen=:4433")
	if len(open.Wire) != 3 || open.Wire[0].Total() != two.Wire[0].Total() || open.Wire[2].Machines != 8 {
		t.Errorf("any number of machines: %+v", open)
	}
	alone := plan("-o", "cluster.listen=:4433", "--workers", "1")
	if len(alone.Wire) != 1 || alone.Wire[0].Machines != 1 || alone.Wire[0].Total() != 0 {
		t.Errorf("one machine of a run on many: %+v", alone)
	}
	code, stdout, stderr := concord(t, "", "plan", run, "--workers", "2", "--measure", "-o", "cluster.sync=parameters")
	for _, want := range []string{" machine 2 ", "at 100 Mbit/s", " measured now, of all rows on one machine, on ",
		"gradients by language as bf16, updated weights as f32, in every step; "} {
		if code != 0 || !strings.Contains(stdout, want) {
			t.Fatalf("exit code %d, no %q in\n%s\n%s", code, want, stdout, stderr)
		}
	}
}
