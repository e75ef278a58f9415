package main

import (
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"concord/internal/checkpoint"
	"concord/internal/train/traintest"
)

// lowMemory are runs that update in the backward pass: a full fine-tune in bf16 with
// moments in 8 bits, and LoRA on nf4.
var lowMemory = map[string][]string{
	"full": {"-o", "optim.in_backward=true", "-o", "objective.scope=tensor", "-o", "model.dtype=bf16", "-o", "optim.moments=int8", "-o", "checkpoint.every=1"},
	"lora": {"-o", "optim.in_backward=true", "-o", "objective.scope=tensor", "-o", "adapter.kind=lora", "-o", "adapter.rank=4", "-o", "adapter.dropout=0.1",
		"-o", "model.base_type=nf4", "-o", "checkpoint.every=1"},
}

// thorough says that all instants are tried, in place of a few.
func thorough() bool { return os.Getenv("CONCORD_EVERYTHING") != "" }

// undisturbed is a run of so many steps that nobody disturbs: its outcome, and how many groups an
// update has.
func undisturbed(t *testing.T, breaks []uint64, steps string, settings []string) (traintest.Outcome, int) {
	t.Helper()
	run := traintest.Run(t, map[string]string{"schedule": "steps = " + steps})
	c := traced(t, breaks, 0, nil, append([]string{"train", run}, settings...)...)
	if said := c.wait(t); c.code != 0 {
		t.Fatalf("exit code %d:\n%s", c.code, said)
	}
	groups, ends := c.hits[breaks[0]], c.hits[breaks[1]]
	if ends == 0 || groups%ends != 0 || groups < 2*ends {
		t.Fatalf("%d groups in %d updates", groups, ends)
	}
	return traintest.OutcomeOf(t, filepath.Join(filepath.Dir(run), "runs", "tiny")), groups / ends
}

// picked are instants of an update of so many groups, counted from 0, the last being its end: all, or
// the first, one in the middle and the last.
func picked(groups int) []int {
	if !thorough() {
		return []int{0, groups / 2, groups}
	}
	var out []int
	for i := range groups + 1 {
		out = append(out, i)
	}
	return out
}

// A process is killed by SIGKILL when some groups of an update in the backward pass are applied and
// others not, one resumed after the other, each at another group; then some at any
// instant. The run ends in the bits of one that was left alone.
func TestKilledInAnUpdate(t *testing.T) {
	t.Parallel()
	traintest.RequireAdapter(t)
	breaks := entries(t, updates...)
	for name, settings := range lowMemory {
		t.Run(name, func(t *testing.T) {
			if name == "lora" && !thorough() {
				t.Skip("CONCORD_EVERYTHING=1 tries it")
			}
			steps, random := "5", 1
			if thorough() {
				steps, random = "60", 25
			}
			want, groups := undisturbed(t, breaks, steps, settings)
			run := traintest.Run(t, map[string]string{"schedule": "steps = " + steps})
			dir := filepath.Join(filepath.Dir(run), "runs", "tiny")
			args := append([]string{"train", run}, settings...)
			for _, k := range picked(groups) {
				c := traced(t, breaks, groups+1+k+1, func() {}, args...) // a whole update, and then
				if said := c.wait(t); c.code != -1 {
					t.Fatalf("at group %d of %d: exit code %d:\n%s", k, groups, c.code, said)
				}
				args = []string{"resume", dir}
			}
			draw := rand.New(rand.NewPCG(uint64(groups), 1))
			for range random {
				c := start(t, args...)
				c.await(c.lines, "  loss ")
				time.Sleep(time.Duration(draw.IntN(100)) * time.Millisecond)
				c.Process.Kill()
				c.end()
			}
			if code, _, errs := concord(t, "", args...); code != 0 {
				t.Fatal(errs)
			}
			if d := want.Differ(traintest.OutcomeOf(t, dir)); d != "" {
				t.Error(d)
			}
			t.Logf("%d groups; killed at %d instants of an update and %d others", groups, len(picked(groups)), random)
		})
	}
}

// The same of three machines: each in turn stands at an instant of its update while the
// others are killed, and is killed then; three new processes go on.
func TestKilledInAnUpdateOnThreeMachines(t *testing.T) {
	if !thorough() {
		t.Skip("CONCORD_EVERYTHING=1 tries it; TestKilledBetweenTwoGroups kills one of three within a process")
	}
	traintest.RequireAdapter(t)
	breaks := entries(t, updates...)
	exact := []string{"-o", "cluster.wire=f32", "-o", "cluster.shares=equal", "-o", "cluster.deadline=false", "-o", "cluster.silence=20"}
	for name, settings := range lowMemory {
		t.Run(name, func(t *testing.T) {
			settings := slices.Concat(settings, exact)
			_, groups := undisturbed(t, breaks, "1", settings)
			trio := func(steps string) (*machines, []string) {
				run := traintest.Run(t, map[string]string{"schedule": "steps = " + steps})
				m := &machines{t: t, dir: filepath.Join(filepath.Dir(run), "runs", "tiny")}
				return m, slices.Concat([]string{"train", run, "--listen", "127.0.0.1:0", "--workers", "3"}, settings)
			}
			steps := fmt.Sprint(len(picked(groups)) + 2)
			calm, args := trio(steps)
			calm.first = start(t, args...)
			calm.line = calm.awaitLine()
			calm.toTheEnd()
			m, args := trio(steps)
			for i, k := range picked(groups) {
				m.killAt(breaks, groups+1+k+1, i%3, args)
				args = []string{"resume", m.dir, "--listen", "127.0.0.1:0", "--workers", "3"}
			}
			m.first = start(t, args...)
			m.line = m.awaitLine()
			m.toTheEnd()
			if d := traintest.OutcomeOf(t, calm.dir).Differ(traintest.OutcomeOf(t, m.dir)); d != "" {
				t.Error(d)
			}
			t.Logf("%d groups; killed at %d instants", groups, len(picked(groups)))
		})
	}
}

// toTheEnd adds two machines and waits as long as each step comes within patience.
func (m *machines) toTheEnd() {
	m.t.Helper()
	all := []*child{m.first, m.join("w2"), m.join("w3")}
	for m.first.await(m.first.lines, "") {
	}
	for i, c := range all {
		if code, errs := c.end(); code != 0 {
			m.t.Fatalf("machine %d ended with %d: %s", i+1, code, errs)
		}
	}
}

// killAt runs three machines until one of them, 0 the first, is at a hit of breaks, and kills all.
func (m *machines) killAt(breaks []uint64, hit, victim int, args []string) {
	m.t.Helper()
	var others []*child
	end := func() {
		for _, c := range others {
			c.Process.Kill()
		}
		for _, c := range others {
			c.end()
		}
	}
	var x *tracer
	if victim == 0 {
		x = traced(m.t, breaks, hit, end, args...)
		m.first = &child{t: m.t, lines: x.lines, stderr: x.stderr}
		m.line = m.awaitLine()
	} else {
		m.first = start(m.t, args...)
		m.line = m.awaitLine()
		x = traced(m.t, breaks, hit, end, "worker", "--join", m.line, "--name", "victim", "--dir", m.t.TempDir())
		others = append(others, m.first)
	}
	for len(others) < 2 {
		others = append(others, m.join("other"))
	}
	if said := x.wait(m.t); x.code != -1 {
		m.t.Fatalf("machine %d: exit code %d:\n%s", victim, x.code, said)
	}
	if _, _, _, err := checkpoint.Latest(filepath.Join(m.dir, "checkpoints")); err != nil {
		m.t.Fatal(err)
	}
}
