package main

import (
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"concord/internal/train/traintest"
)

// The leader of equal machines is stopped for longer than its lease and then goes
// on: another has taken over meanwhile, nothing of the old one counts, and it works for
// its successor (reference case 8).
func TestLeaderIsPaused(t *testing.T) {
	m, all, leader := stopPeer(t, 0)
	for began := time.Now(); m.status().Term < 2 && time.Since(began) < patience; time.Sleep(20 * time.Millisecond) {
	}
	if m.status().Term != 2 {
		t.Fatalf("nobody took over: %+v", m.status())
	}
	all[leader].Process.Signal(syscall.SIGCONT)
	for i, c := range all {
		code, errs := c.end()
		if code != 0 {
			t.Errorf("machine %d ended with %d: %s", i, code, errs)
		}
		if i == leader && !strings.Contains(errs, "leads no longer") {
			t.Errorf("the one that was paused says %q", errs)
		}
	}
	m.eachStepOnce(40)
	if s := m.status(); s.Step != 40 || s.Term != 2 {
		t.Errorf("%d steps in term %d", s.Step, s.Term)
	}
}

// A machine is stopped until the others have finished the run. It is elected then, as nobody else is left, and
// does nothing of it again: what the others have saved stays as it is.
func TestFinishedWhileAway(t *testing.T) {
	m, all, away := stopPeer(t, 1)
	for i, c := range all {
		if i == away {
			continue
		}
		if code, errs := c.end(); code != 0 {
			t.Errorf("machine %d ended with %d: %s", i, code, errs)
		}
	}
	before, recorded, term := traintest.OutcomeOf(t, m.dir), m.records(), m.status().Term
	all[away].Process.Signal(syscall.SIGCONT)
	told := all[away].await(all[away].lines, "another machine has finished the run")
	if code, errs := all[away].end(); code != 0 || !told {
		t.Errorf("the one that was away ended with %d, told that the run is finished: %v; %s", code, told, errs)
	}
	if d := before.Differ(traintest.OutcomeOf(t, m.dir)); d != "" {
		t.Error(d)
	}
	m.eachStepOnce(40)
	m.notDoneAgain(recorded)
	if s := m.status(); s.Step != 40 || s.Term != term {
		t.Errorf("%d steps in term %d, %d before", s.Step, s.Term, term)
	}
}

// stopPeer starts three equal machines and stops, in the middle of their run, the one so many places after
// the leader.
func stopPeer(t *testing.T, after int) (m *machines, all []*child, stopped int) {
	t.Parallel()
	if testing.Short() {
		t.Skip("an election takes its time")
	}
	run, etcd := clusterRun(t, 40), startEtcd(t)
	m = &machines{t: t, dir: filepath.Join(filepath.Dir(run), "runs", "tiny")}
	all, leader := startPeers(t, run, etcd)
	m.past(all[leader], 15, 3)
	stopped = (leader + after) % len(all)
	if err := all[stopped].Process.Signal(syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	return m, all, stopped
}
