package main

import (
	"cmp"
	"encoding/json"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"concord/internal/cluster"
	"concord/internal/cluster/coordinator"
	"concord/internal/faultproxy"
	"concord/internal/freeport"
	"concord/internal/report"
	"concord/internal/train/traintest"
	"concord/transport"
)

// machines is a run by several processes of this machine: real devices, real
// QUIC.
type machines struct {
	t       *testing.T
	dir     string // the run's
	first   *child
	line    string
	workers []*child
}

// clusterRun writes a tiny run that takes long enough to be disturbed: a machine may send 200 KB
// a second, which is eight steps of gradients in bf16 and costs no processor time, so that 25
// steps leave a test three seconds to act. Settings with fewer bytes a step want a lower limit.
func clusterRun(t *testing.T, steps int) string {
	t.Helper()
	traintest.RequireAdapter(t)
	return traintest.Run(t, map[string]string{"schedule": fmt.Sprintf("steps = %d", steps), "eval": "every = 0",
		"checkpoint": "every = 10\nkeep = 2", "log": "every = 5", "cluster": `upload_limit = "200KB"`})
}

// startMachines starts machine 1 and n−1 workers.
func startMachines(t *testing.T, runFile, listen string, n int, more ...string) *machines {
	t.Helper()
	m := &machines{t: t, dir: filepath.Join(filepath.Dir(runFile), "runs", "tiny")}
	m.first = start(t, append([]string{"train", runFile, "--listen", listen, "--workers", fmt.Sprint(n)}, more...)...)
	m.line = m.awaitLine()
	for i := range n - 1 {
		m.join(fmt.Sprintf("w%d", i+2))
	}
	return m
}

// awaitLine waits for the join line of machine 1.
func (m *machines) awaitLine() string {
	m.t.Helper()
	for line := range m.first.lines {
		if l := regexp.MustCompile(`concord1/[^']*`).FindString(line); l != "" {
			return l
		}
	}
	_, errs := m.first.end()
	m.t.Fatal("no join line: " + errs)
	return ""
}

// join starts a worker.
func (m *machines) join(name string) *child {
	m.t.Helper()
	w := start(m.t, "worker", "--join", m.line, "--name", name, "--dir", filepath.Join(m.t.TempDir(), name))
	m.workers = append(m.workers, w)
	return w
}

// status reads the coordinator's status.
func (m *machines) status() coordinator.Status {
	s, _ := cluster.ReadStatus(filepath.Join(m.dir, "cluster"))
	return s
}

// at waits until so many steps are committed and so many machines work.
func (m *machines) at(step, workers int) {
	m.t.Helper()
	for began := time.Now(); time.Since(began) < patience; time.Sleep(5 * time.Millisecond) {
		s, working := m.status(), 0
		for _, x := range s.Members {
			if x.State == "working" && x.Rows > 0 {
				working++
			}
		}
		if s.Step >= step && working >= workers {
			return
		}
	}
	m.t.Fatalf("not at step %d with %d machines: %+v", step, workers, m.status())
}

// past waits until machine c, which coordinates, says that a step is committed that every one of so many
// machines had a part in. It says so at once, while the status is written four times a second: a run need not
// be long to be disturbed.
func (m *machines) past(c *child, step, workers int) {
	m.t.Helper()
	if !c.await(c.lines, fmt.Sprintf("step %d/", step)) {
		_, errs := c.end()
		m.t.Fatalf("it ended before step %d: %s", step, errs)
	}
	all := func(s report.Step) bool {
		x := s.Exchange
		return s.Step >= step && x != nil && x.Workers == workers && x.Rows > 0 && len(x.Missing) == 0
	}
	over := false
	for began := time.Now(); time.Since(began) < patience && !over; time.Sleep(10 * time.Millisecond) {
		select {
		case <-c.over: // its last records are there
			over = true
		default:
		}
		if slices.ContainsFunc(m.records(), all) { // on a busy machine somebody's rows may be late in a step
			return
		}
	}
	m.t.Fatalf("no step from %d on is on record with %d machines: %+v", step, workers, m.records())
}

// putOut checks that the worker of a name was put out, as it was not heard from. On a busy machine another one
// may have been too.
func (m *machines) putOut(name string) {
	m.t.Helper()
	silent := func(e coordinator.Eviction) bool {
		return e.Name == name && (strings.Contains(e.Reason, "heard") || strings.Contains(e.Reason, "closed"))
	}
	if e := m.status().Evicted; !slices.ContainsFunc(e, silent) {
		m.t.Errorf("%s is not out for its silence: %+v", name, e)
	}
}

// records are machine 1's steps.
func (m *machines) records() (steps []report.Step) {
	m.t.Helper()
	b, err := os.ReadFile(filepath.Join(m.dir, "metrics.jsonl"))
	if err != nil {
		m.t.Fatal(err)
	}
	for line := range strings.Lines(string(b)) {
		var s report.Step
		if json.Unmarshal([]byte(line), &s) == nil && s.Kind == "step" {
			steps = append(steps, s)
		}
	}
	return steps
}

// finish waits for machine 1 and then for the workers: all must say that the run
// is finished.
func (m *machines) finish(workers ...*child) {
	m.t.Helper()
	if code, errs := m.first.end(); code != 0 {
		m.t.Fatalf("machine 1 ended with %d: %s", code, errs)
	}
	for i, w := range workers {
		if code, errs := w.end(); code != 0 {
			m.t.Errorf("worker %d ended with %d: %s", i, code, errs)
		}
	}
	if _, err := os.Stat(filepath.Join(m.dir, "model", "model.safetensors")); err != nil {
		m.t.Error(err)
	}
}

// inOrder compares for slices.IsSortedFunc: each step once.
func inOrder(a, b report.Step) int { return cmp.Compare(a.Step, b.Step+1) }

// One command, three processes.
func TestSpawn(t *testing.T) {
	t.Parallel()
	run := clusterRun(t, 12)
	code, out, errs := concord(t, "", "train", run, "--spawn", "2", "-o", "cluster.deadline=false")
	if code != 0 {
		t.Fatal(errs)
	}
	if !strings.Contains(out, "concord worker --join") || !strings.Contains(errs, "worker-3: joined") {
		t.Errorf("%s\n%s", out, errs)
	}
	m := &machines{t: t, dir: filepath.Join(filepath.Dir(run), "runs", "tiny")}
	steps := m.records()
	last := steps[len(steps)-1].Exchange
	if len(steps) != 12 || last == nil || last.Workers != 3 || last.Rows >= 6 || last.SentBytes == 0 || last.ReceivedBytes == 0 {
		t.Errorf("%d steps, the last: %+v", len(steps), last)
	}
	code, out, _ = concord(t, "", "status", m.dir)
	if code != 0 || !strings.Contains(out, "12 steps committed") || !strings.Contains(out, "worker-2") ||
		!strings.Contains(out, "not running") {
		t.Errorf("status: %d\n%s", code, out)
	}
}

// kill -9 of a worker, which owns buckets too: the others go on, and the status
// says who was put out and why.
func TestKillWorker(t *testing.T) {
	t.Parallel()
	for name, setting := range owned {
		t.Run(name, func(t *testing.T) { t.Parallel(); killWorker(t, setting) })
	}
}

// owned are the ways in which machines own what a step resolves.
var owned = map[string]string{"gradients": "cluster.sync=gradients", "parameters": "cluster.sync=parameters", "slices": "cluster.slice=8KB"}

func killWorker(t *testing.T, setting string) {
	const steps = 40
	m := startMachines(t, clusterRun(t, steps), "127.0.0.1:0", 3, "-o", "cluster.silence=2", "-o", setting, "-o",
		"checkpoint.every=20")
	m.past(m.first, 10, 3)
	m.workers[0].Process.Kill()
	killed, stuck := time.Now(), 0
	for time.Since(killed) < patience && (stuck == 0 || m.status().Step <= stuck) && m.status().Step < steps {
		if s := m.status(); stuck == 0 && len(s.Evicted) > 0 {
			stuck = s.Step
		}
		time.Sleep(5 * time.Millisecond)
	}
	t.Logf("kill -9 of a worker and owner to the next commit: about %.2f s", time.Since(killed).Seconds())
	m.finish(m.workers[1])
	m.putOut("w2")
	if n := len(m.records()); n != steps {
		t.Errorf("%d steps recorded", n)
	}
}

// kill -9 of machine 1 in the middle: the workers wait, it comes back with its
// store, takes the newer weights from them, and no committed step is lost.
func TestKillCoordinator(t *testing.T) {
	t.Parallel()
	for name, setting := range owned {
		t.Run(name, func(t *testing.T) { t.Parallel(); killCoordinator(t, setting) })
	}
}

func killCoordinator(t *testing.T, setting string) {
	run, listen := clusterRun(t, 40), freeport.Of(t, "udp")
	m := startMachines(t, run, listen, 3, "-o", "cluster.silence=2", "-o", "checkpoint.every=1000", "-o", setting)
	m.past(m.first, 15, 3)
	m.first.Process.Kill()
	m.first.end()
	committed := m.status().Step
	killed := time.Now()
	// There is no checkpoint yet: only the workers hold what was trained.
	m.first = start(t, "resume", m.dir, "--listen", listen)
	for m.status().Step <= committed && time.Since(killed) < patience {
		time.Sleep(5 * time.Millisecond)
	}
	t.Logf("kill -9 of machine 1, restart, to the next commit: about %.2f s", time.Since(killed).Seconds())
	code, errs := m.first.end()
	if code != 0 || !strings.Contains(errs, "looking for a machine that holds the newer weights") {
		t.Fatalf("resumed: %d\n%s", code, errs)
	}
	for _, w := range m.workers {
		if code, errs := w.end(); code != 0 {
			t.Errorf("a worker ended with %d: %s", code, errs)
		}
	}
	// The step that was being written may be missing; all others are there once.
	if steps := m.records(); len(steps) < 39 || !slices.IsSortedFunc(steps, inOrder) || steps[len(steps)-1].Step != 40 {
		t.Errorf("%d steps are on record, behind a kill at step %d", len(steps), committed)
	}
}

// Three processes whose packets are lost, doubled, damaged and late, which come from
// other ports in the middle, and for a while not at all: the run ends as any other,
// with nobody put out.
func TestProcessesOnABadNetwork(t *testing.T) {
	t.Parallel()
	m := &machines{t: t}
	run := clusterRun(t, 40)
	m.dir = filepath.Join(filepath.Dir(run), "runs", "tiny")
	m.first = start(t, "train", run, "--listen", "127.0.0.1:0", "--workers", "3", "-o", "cluster.silence=20", "-o", "cluster.deadline=false")
	line, err := transport.ParseLine(m.awaitLine())
	if err != nil {
		t.Fatal(err)
	}
	p, err := faultproxy.New(line.Addrs[0], 3)
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	faults := faultproxy.Faults{Loss: 0.01, Duplicate: 0.05, Corrupt: 0.01, Reorder: 0.05, Delay: time.Millisecond}
	p.Set(faults)
	line.Addrs = []string{p.Addr()}
	m.line = line.String()
	a, b := m.join("w2"), m.join("w3")
	m.past(m.first, 5, 3)
	if err := p.Rebind(); err != nil {
		t.Fatal(err)
	}
	m.past(m.first, 15, 3)
	p.Set(faultproxy.Faults{Loss: 1})
	time.Sleep(1500 * time.Millisecond)
	p.Set(faults)
	m.finish(a, b)
	if s := m.status(); s.Step != 40 || slices.ContainsFunc(s.Evicted, func(e coordinator.Eviction) bool { return e.Reason != "left" }) {
		t.Errorf("%d steps; out: %+v", s.Step, s.Evicted)
	}
}

// Outer steps with three processes, one of which is killed; their number cannot be
// changed by a resume.
func TestOuterSteps(t *testing.T) {
	t.Parallel()
	run := clusterRun(t, 60)
	m := startMachines(t, run, freeport.Of(t, "udp"), 3, "-o", "cluster.silence=2", "-o", "cluster.outer=6",
		"-o", "checkpoint.every=10", "-o", slower,
		"-o", "cluster.deadline=false") // with one, steps go on without the dead machine, and the run may be over before its silence is
	m.past(m.first, 18, 3)
	m.workers[0].Process.Kill()
	m.finish(m.workers[1])
	m.putOut("w2")
	steps := m.records()
	if last := steps[len(steps)-1]; len(steps) != 10 || last.Step != 60 || last.Exchange == nil || last.Exchange.SentBytes == 0 {
		t.Errorf("%d rounds, the last: %+v", len(steps), last)
	}
	if s := m.status(); s.Step != 60 {
		t.Errorf("the status says step %d", s.Step)
	}
	saved, err := os.ReadDir(filepath.Join(m.dir, "checkpoints"))
	if err != nil || len(saved) < 2 {
		t.Errorf("%d checkpoints: %v", len(saved), err)
	}
	if code, _, errs := concord(t, "", "resume", m.dir, "-o", "cluster.outer=7"); code != exitUsage ||
		!strings.Contains(errs, "counted from its start") {
		t.Errorf("another number of outer steps: %d\n%s", code, errs)
	}
}

// What a user may get wrong is said, with what to do, and leaves nothing behind.
func TestClusterMistakes(t *testing.T) {
	run := clusterRun(t, 2)
	busy, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer busy.Close()
	runs := filepath.Join(filepath.Dir(run), "runs")
	for _, c := range []struct {
		args []string
		code int
		want string
	}{
		{[]string{"train", run, "--listen", busy.LocalAddr().String()}, exitUsage, "address already in use"},
		{[]string{"train", run, "--listen", "4433"}, exitUsage, `listen = ":4433"`},
		{[]string{"train", run, "--listen", ":0", "-o", "cluster.wire=fp4"}, exitUsage, "cluster.wire"},
		{[]string{"train", run, "--listen", ":0", "-o", "cluster.sync=weights"}, exitUsage, "cluster.sync"},
		{[]string{"train", run, "--listen", ":0", "-o", "cluster.sync=parameters", "-o", "objective.metric=adam"}, exitUsage, `sync = "gradients"`},
		{[]string{"train", run, "--listen", ":0", "-o", "cluster.outer=5", "-o", "cluster.sync=parameters"}, exitUsage, "cluster.outer = 0"},
		{[]string{"train", run, "--listen", ":0", "-o", "cluster.outer=5", "-o", "cluster.resolve=local"}, exitUsage, `resolve = "exact"`},
		{[]string{"train", run, "--listen", ":0", "-o", "cluster.outer=5000"}, exitUsage, "cluster.outer"},
		{[]string{"worker", "--join", "hello"}, exitUsage, "concord train --listen"},
		{[]string{"worker", "--join", "concord1/127.0.0.1:9/" + strings.Repeat("A", 43) + "/id/" + strings.Repeat("A", 22) + "/1"}, exitCluster, "expired"},
		{[]string{"status", filepath.Dir(run)}, exitUsage, "is not the folder of a run"},
		{[]string{"invite", filepath.Dir(run)}, exitData, "no coordinator"},
		{[]string{"revoke", filepath.Dir(run), "1"}, exitUsage, "machine 1 itself"},
		{[]string{"revoke", filepath.Dir(run), "7"}, exitData, "not the folder"},
	} {
		code, _, errs := concord(t, "", c.args...)
		if code != c.code || !strings.Contains(errs, c.want) || strings.Contains(errs, "goroutine") {
			t.Errorf("%v: %d, want %d with %q:\n%s", c.args, code, c.code, c.want, errs)
		}
	}
	if _, err := os.Stat(runs); err == nil {
		t.Error("a run's folder was left behind")
	}
}

// The join line is read from a file, so that it does not stand on the command line.
func TestJoinLineInAFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "line")
	if err := os.WriteFile(path, []byte(" concord1/a:1/x/y/z/0\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for arg, want := range map[string]string{"@" + path: "concord1/a:1/x/y/z/0", "concord1/b:1/x/y/z/0": "concord1/b:1/x/y/z/0"} {
		if got, err := joinLine(arg); err != nil || got != want {
			t.Errorf("--join %s: %q, %v", arg, got, err)
		}
	}
	if _, err := joinLine("@" + path + "x"); exitCode(err) != exitUsage {
		t.Error(err)
	}
}
