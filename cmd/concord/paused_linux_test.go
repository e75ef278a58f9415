package main

import (
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// The leader of equal machines is stopped for longer than its lease and then goes
// on: another has taken over meanwhile, and nothing of the old one counts (reference
// case 8).
func TestLeaderIsPaused(t *testing.T) {
	if testing.Short() {
		t.Skip("an election takes its time")
	}
	run, etcd := clusterRun(t, 150), startEtcd(t)
	m := &machines{t: t, dir: filepath.Join(filepath.Dir(run), "runs", "tiny")}
	all, leader := startSite(t, run, etcd)
	m.at(15, 3)
	if err := all[leader].Process.Signal(syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	for began := time.Now(); m.status().Term < 2 && time.Since(began) < patience; time.Sleep(20 * time.Millisecond) {
	}
	if m.status().Term != 2 {
		t.Fatalf("nobody took over: %+v", m.status())
	}
	all[leader].Process.Signal(syscall.SIGCONT)
	for i, c := range all {
		code, errs := c.end()
		switch {
		case i != leader && code != 0:
			t.Errorf("machine %d ended with %d: %s", i, code, errs)
		case i == leader && (code != exitCluster || !strings.Contains(errs, "another one leads now")):
			t.Errorf("the one that was paused ended with %d: %s", code, errs)
		case i == leader:
			t.Logf("the one that was paused: %d, %s", code, errs)
		}
	}
	if s := m.status(); s.Step != 150 || s.Term != 2 {
		t.Errorf("%d steps in term %d", s.Step, s.Term)
	}
}
