package main

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"concord/internal/freeport"
	"concord/internal/train/traintest"
)

// exact are the settings under which a run's bits do not depend on timing.
var exact = []string{"-o", "cluster.wire=f32", "-o", "cluster.shares=equal", "-o", "cluster.deadline=false", "-o", "cluster.silence=20"}

// slower makes a run of clusterRun with fewer bytes a step, as outer steps and int8 have, take as
// long as others.
const slower = "cluster.upload_limit=100KB"

// exactly are the flags of a run with these settings whose bits do not depend on
// timing. It saves at steps 4 and 8, as many as are kept, and one that is ended after step
// 10 has not saved since.
func exactly(settings []string) []string {
	if slices.ContainsFunc(settings, func(s string) bool { return s == "cluster.wire=int8" }) {
		settings = append(slices.Clone(settings), slower)
	}
	flags := append(slices.Clone(exact), "-o", "checkpoint.every=4", "-o", "log.every=2")
	for _, s := range append(slices.Clone(settings), "objective.method=pcgrad") {
		flags = append(flags, "-o", s)
	}
	return flags
}

// A run of three processes that is interrupted, or all of whose processes are killed,
// and goes on with the same ones ends with the bits of one that was not: where each
// machine holds something of its own, too.
func TestResumeIsExactOnManyMachines(t *testing.T) {
	int8Outer := []string{"cluster.outer=2", "cluster.wire=int8", "objective.ema=0.5"}
	for name, c := range map[string]struct {
		settings []string
		how      []os.Signal
	}{
		"gradients":   {nil, []os.Signal{os.Interrupt}},
		"int8":        {[]string{"cluster.wire=int8"}, []os.Signal{os.Kill}},
		"outer":       {int8Outer, []os.Signal{os.Interrupt, os.Kill}},
		"outer, bf16": {append(int8Outer, "model.dtype=bf16", "optim.moments=int8"), []os.Signal{os.Kill}},
		"local":       {[]string{"cluster.resolve=local", "objective.ema=0.5", "objective.every=2"}, []os.Signal{os.Interrupt}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			whole := startMachines(t, clusterRun(t, 24), "127.0.0.1:0", 3, exactly(c.settings)...)
			whole.finish(whole.workers...)
			want := traintest.OutcomeOf(t, whole.dir)
			for _, how := range c.how {
				t.Run(how.String(), func(t *testing.T) { resumeExactly(t, c.settings, how, want) })
			}
		})
	}
}

func resumeExactly(t *testing.T, settings []string, how os.Signal, want traintest.Outcome) {
	run, listen := clusterRun(t, 24), freeport.Of(t, "udp")
	m := startMachines(t, run, listen, 3, exactly(settings)...)
	m.past(m.first, 10, 3)
	m.first.Process.Signal(how)
	m.first.end()
	for _, w := range m.workers {
		if how == os.Kill {
			w.Process.Kill()
		}
		w.end()
	}
	if n := len(m.records()); n >= 24 {
		t.Fatalf("%d steps were made before the signal came", n)
	}
	m.first = start(t, "resume", m.dir, "--listen", listen, "--workers", "3")
	for i, w := range m.workers {
		dir := w.Args[slices.Index(w.Args, "--dir")+1]
		if saved, _ := filepath.Glob(filepath.Join(dir, "apart", "*", "step-*")); (len(saved) > 0) != (settings != nil) {
			t.Errorf("saved apart: %v", saved)
		}
		m.workers[i] = start(t, "worker", "--join", m.line, "--name", fmt.Sprint("w", i+2), "--dir", dir)
	}
	m.finish(m.workers...)
	if d := want.Differ(traintest.OutcomeOf(t, m.dir)); d != "" {
		t.Error(d)
	}
}
