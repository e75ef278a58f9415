package main

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"concord/internal/cluster/etcd/etcdtest"
	"concord/internal/report"
	"concord/internal/train/traintest"
)

// startEtcd runs an etcd server that other processes can reach, and returns the
// address that concord is given.
func startEtcd(t *testing.T) string {
	t.Helper()
	return etcdtest.Start(t, 1, "http", nil).Flag()
}

// Equal machines around an etcd cluster: the one that leads is killed, another
// takes over with the weights it has, and the run comes to its end.
func TestLeaderIsKilled(t *testing.T) {
	t.Parallel()
	if testing.Short() {
		t.Skip("an election takes its time")
	}
	for _, sync := range []string{"gradients", "parameters"} {
		t.Run(sync, func(t *testing.T) { t.Parallel(); killLeader(t, sync) })
	}
}

func killLeader(t *testing.T, sync string) {
	run, etcd := clusterRun(t, 40), startEtcd(t)
	m := &machines{t: t, dir: filepath.Join(filepath.Dir(run), "runs", "tiny")}
	all, leader := startPeers(t, run, etcd, "-o", "cluster.sync="+sync)
	m.past(all[leader], 15, 3)
	all[leader].Process.Kill()
	killed, before := time.Now(), m.status().Step
	for m.status().Step <= before+1 && time.Since(killed) < patience {
		time.Sleep(20 * time.Millisecond)
	}
	t.Logf("kill -9 of the leader to the next commit: about %.1f s", time.Since(killed).Seconds())
	took := 0
	for i, c := range all {
		if i == leader {
			continue
		}
		var out strings.Builder
		for line := range c.lines {
			fmt.Fprintln(&out, line)
		}
		if code, errs := c.end(); code != 0 {
			t.Errorf("machine %d ended with %d: %s\n%s", i, code, errs, out.String())
		}
		if strings.Contains(out.String(), " leads ") {
			took++
		}
	}
	if took != 1 {
		t.Errorf("%d machines took over", took)
	}
	m.eachStepOnce(40)
	if s := m.status(); s.Step != 40 || s.Term != 2 {
		t.Errorf("%d steps in term %d", s.Step, s.Term)
	}
	if code, _, errs := concord(t, "", "train", run, "--coordinator", "etcd:/x"); code != exitUsage ||
		!strings.Contains(errs, "etcd://HOST:PORT") {
		t.Errorf("a bad address: %d %s", code, errs)
	}
}

// etcd is gone for longer than leases last, or for as long as CONCORD_OUTAGE says: the leader steps
// down, nobody ends, and when etcd is back the run goes on with every step committed and recorded once.
func TestEtcdOutage(t *testing.T) {
	t.Parallel()
	if testing.Short() {
		t.Skip("a lease takes its time")
	}
	outage := 8 * time.Second
	if s := os.Getenv("CONCORD_OUTAGE"); s != "" {
		var err error
		if outage, err = time.ParseDuration(s); err != nil {
			t.Fatal("CONCORD_OUTAGE is a duration: ", err)
		}
	}
	run, server := clusterRun(t, 40), etcdtest.Start(t, 1, "http", nil)
	m := &machines{t: t, dir: filepath.Join(filepath.Dir(run), "runs", "tiny")}
	all, leader := startPeers(t, run, server.Flag())
	m.past(all[leader], 15, 3)
	server.Stop(0)
	time.Sleep(outage)
	before, recorded := m.status().Step, m.records()
	server.Restart(0)
	back := time.Now()
	for m.status().Step <= before && time.Since(back) < patience {
		time.Sleep(20 * time.Millisecond)
	}
	t.Logf("etcd back to the next commit: about %.1f s", time.Since(back).Seconds())
	for i, c := range all {
		if code, errs := c.end(); code != 0 || strings.Contains(errs, "no machine holds the state") {
			t.Errorf("machine %d ended with %d, or the run went back: %s", i, code, errs)
		}
	}
	if s := m.status(); s.Step != 40 || s.Term < 2 {
		t.Errorf("%d steps in term %d", s.Step, s.Term)
	}
	m.eachStepOnce(40)
	m.notDoneAgain(recorded)
}

// notDoneAgain checks that the record still has the steps of an earlier one as they were measured then. The
// last of these may have been on its way: whoever leads next adds it by its own clock.
func (m *machines) notDoneAgain(earlier []report.Step) {
	m.t.Helper()
	now := m.records()
	if len(earlier) < 2 || len(now) < len(earlier) {
		m.t.Errorf("%d steps were on record, %d are", len(earlier), len(now))
		return
	}
	for i, r := range earlier[:len(earlier)-1] {
		if now[i].Step != r.Step || now[i].Seconds != r.Seconds {
			m.t.Errorf("step %d took %v s; on record is now step %d of %v s", r.Step, r.Seconds, now[i].Step, now[i].Seconds)
		}
	}
}

// parts waits until n machines with folders in dir have saved their part of the state
// before the step after step.
func (m *machines) parts(dir string, n, step int) {
	m.t.Helper()
	var saved []string
	for began := time.Now(); len(saved) < n && time.Since(began) < patience; time.Sleep(20 * time.Millisecond) {
		saved, _ = filepath.Glob(filepath.Join(dir, "*", "apart", "*", fmt.Sprintf("step-%08d", step)))
	}
	if len(saved) < n {
		m.t.Fatalf("%d of %d machines have saved their part", len(saved), n)
	}
}

// eachStepOnce checks that the record has each of n steps once, in order.
func (m *machines) eachStepOnce(n int) {
	m.t.Helper()
	var got []int
	for _, r := range m.records() {
		got = append(got, r.Step)
	}
	for i := range max(n, len(got)) {
		if i >= n || i >= len(got) || got[i] != i+1 {
			m.t.Errorf("steps on record: %v", got)
			return
		}
	}
}

// startPeers starts three equal machines and says which of them leads.
func startPeers(t *testing.T, run, etcd string, more ...string) (all []*child, leader int) {
	t.Helper()
	return startPeersIn(t, t.TempDir(), run, etcd, more...)
}

// startPeersIn is startPeers with the machines' folders in dir.
func startPeersIn(t *testing.T, dir, run, etcd string, more ...string) (all []*child, leader int) {
	t.Helper()
	for i := range 3 {
		all = append(all, start(t, append([]string{"train", run, "--coordinator", etcd, "--listen", "127.0.0.1:0", "--dir",
			filepath.Join(dir, fmt.Sprint(i)),
			"--workers", "3", "--plain", "-o", "cluster.silence=2"}, more...)...))
	}
	leader = -1
	for began := time.Now(); leader < 0 && time.Since(began) < patience; time.Sleep(20 * time.Millisecond) {
		for i, c := range all {
			select {
			case line := <-c.lines:
				if strings.Contains(line, " leads ") {
					leader = i
				}
			default:
			}
		}
	}
	if leader < 0 {
		t.Fatal("nobody leads")
	}
	return all, leader
}

// All equal machines are killed, as a cluster does that wants its nodes back, and
// started again: the run goes on from its last checkpoint, whoever leads now, and
// ends with the bits of one that was left alone, where each machine holds something
// of its own, too.
func TestAllEqualMachinesAreKilled(t *testing.T) {
	if testing.Short() {
		t.Skip("an election takes its time")
	}
	for name, settings := range map[string][]string{
		"parameters": {"cluster.sync=parameters"},
		"outer":      {"cluster.outer=2", "cluster.wire=int8", "objective.ema=0.5"},
	} {
		t.Run(name, func(t *testing.T) { t.Parallel(); killAll(t, settings) })
	}
}

func killAll(t *testing.T, settings []string) {
	more := exactly(settings)
	finish := func(all []*child) {
		for i, c := range all {
			if code, errs := c.end(); code != 0 {
				t.Errorf("machine %d ended with %d: %s", i, code, errs)
			}
		}
	}
	calm := clusterRun(t, 24)
	all, _ := startPeers(t, calm, startEtcd(t), more...)
	finish(all)

	run, etcd, dir := clusterRun(t, 24), startEtcd(t), t.TempDir()
	m := &machines{t: t, dir: filepath.Join(filepath.Dir(run), "runs", "tiny")}
	all, leader := startPeersIn(t, dir, run, etcd, more...)
	m.past(all[leader], 10, 3)
	if slices.ContainsFunc(settings, func(s string) bool { return strings.HasPrefix(s, "cluster.outer=") }) {
		m.parts(dir, 3, 8) // written beside the steps
	}
	for _, c := range all {
		c.Process.Kill()
	}
	for _, c := range all {
		c.end()
	}
	all, _ = startPeersIn(t, dir, run, etcd, more...)
	finish(all)
	before := &machines{t: t, dir: filepath.Join(filepath.Dir(calm), "runs", "tiny")}
	if d := traintest.OutcomeOf(t, before.dir).Model().Differ(traintest.OutcomeOf(t, m.dir).Model()); d != "" {
		t.Error(d)
	}
	if a, b := before.records(), m.records(); len(a) != len(b) || !slices.IsSortedFunc(b, inOrder) {
		t.Errorf("%d steps on record without the kill, %d with it", len(a), len(b))
	}
}

// Two projects share an etcd cluster, and by mistake the name of a run: the second is
// refused, while the first goes on and when it has ended, and touches nothing of it. With
// a name of its own, or when the record is deleted as the message says, it runs.
func TestTwoProjectsOfOneName(t *testing.T) {
	t.Parallel()
	if testing.Short() {
		t.Skip("an election takes its time")
	}
	mine, theirs, server := clusterRun(t, 12), clusterRun(t, 12), etcdtest.Start(t, 1, "http", nil)
	peer := func(run string, more ...string) *child {
		return start(t, append([]string{"train", run, "--coordinator", server.Flag(), "--listen", "127.0.0.1:0", "--dir", t.TempDir(), "--plain"},
			more...)...)
	}
	const other = "run.seed=77"
	refused := func(when string) {
		t.Helper()
		code, errs := peer(theirs, "-o", other).end()
		if code != exitCluster || !strings.Contains(errs, "etcd has another run of the name") ||
			!strings.Contains(errs, "run.seed") || !strings.Contains(errs, "del --prefix /concord/tiny/") {
			t.Errorf("%s: %d %s", when, code, errs)
		}
	}
	a := peer(mine, "--workers", "2")
	for line := range a.lines {
		if strings.Contains(line, " leads ") {
			break
		}
	}
	refused("while the first one runs")
	b := peer(mine, "--workers", "2")
	for _, c := range []*child{a, b} {
		if code, errs := c.end(); code != 0 {
			t.Errorf("the first one: %d %s", code, errs)
		}
	}
	refused("when the first one has ended")
	if code, errs := peer(theirs, "-o", other, "-o", "run.name=theirs").end(); code != 0 {
		t.Errorf("under another name: %d %s", code, errs)
	}
	server.Delete("/concord/tiny/")
	if code, errs := peer(theirs, "-o", other).end(); code != 0 {
		t.Errorf("without the record: %d %s", code, errs)
	}
}
