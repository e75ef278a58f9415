package cluster

import (
	"encoding/json"
	"maps"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"concord/internal/cluster/coordinator"
	"concord/internal/cluster/protocol"
	"concord/transport"
)

// TestHome is a machine at a home.
func TestHome(t *testing.T) {
	told := os.Getenv("CONCORD_HOME_TEST")
	if told == "" {
		t.Skip("it is a part of TestRouters, in a process of its own")
	}
	var p home
	if err := json.Unmarshal([]byte(told), &p); err != nil {
		t.Fatal(err)
	}
	w := newWorld(t, p.Steps)
	var err error
	if w.ca, err = transport.ParseCA(p.CA); err != nil {
		t.Fatal(err)
	}
	w.calm, w.patience, w.min, w.relay, w.alone = true, 5*time.Minute, p.Machines, p.Relay, p.Alone
	w.codec, w.groups, w.cut = transport.BF16, nil, nil
	if p.Rows > 0 {
		w.rows = p.Rows
	}
	for range p.Groups {
		w.groups, w.cut = append(w.groups, p.Values), append(w.cut, len(w.cut))
	}
	for k := range p.Slices {
		w.groups, w.cut = append(w.groups, p.Large/p.Slices), append(w.cut, len(w.cut)-k)
	}
	var pairs []coordinator.PairStatus // by the worker's goroutine, before the last commit
	w.slow = func(_ uint32, step, group int) {
		switch {
		case group > 0:
		case step == 0:
			time.Sleep(probed)
		case step == p.Steps-1 && p.ID == 1 && !p.Alone:
			pairs = w.awaitPairs(p.Machines * (p.Machines - 1) / 2)
		}
	}
	w.listen = func(int) net.PacketConn {
		ip := net.IPv4zero
		if p.ID == 1 {
			ip = net.IPv4(203, 0, 113, 1)
		}
		c, _, err := transport.Socket(net.JoinHostPort(ip.String(), "4433"))
		if err != nil {
			t.Fatal(err)
		}
		return c
	}
	w.addr = "203.0.113.1:4433"
	n := w.start(uint32(p.ID))
	if p.ID == 1 {
		w.tellRun(p, n, &pairs)
	}
	w.wait(n)
	if p.ID == 1 {
		w.close(n)
	} else {
		n.leave()
	}
}

// awaitPairs waits until the status has so many pairs, or for long enough, and returns
// them: at the end of the run those who leave first take theirs with them.
func (w *world) awaitPairs(n int) (pairs []coordinator.PairStatus) {
	for range 200 {
		w.mu.Lock()
		pairs = w.status.Pairs
		w.mu.Unlock()
		if len(pairs) >= n {
			return pairs
		}
		time.Sleep(100 * time.Millisecond)
	}
	return pairs
}

// tellRun notes, before the run ends, how it goes.
func (w *world) tellRun(p home, n *node, pairs *[]coordinator.PairStatus) {
	var times []float64
	last := time.Now()
	w.mu.Lock()
	w.committedAt = func(step int) { // with the mutex
		now := time.Now()
		if step == 1 {
			os.WriteFile(filepath.Join(p.Dir, "warm"), nil, 0o600)
		}
		if step > 2 && step < p.Steps-1 {
			times = append(times, now.Sub(last).Seconds())
		}
		if last = now; step < p.Steps-1 {
			return
		}
		slices.Sort(times)
		b, err := json.Marshal(ran{Owners: owners(n), Step: times[len(times)/2], Pairs: *pairs})
		if err == nil {
			err = os.WriteFile(filepath.Join(p.Dir, "ran"), b, 0o600)
		}
		if err != nil {
			w.t.Error(err)
		}
	}
	w.mu.Unlock()
}

// Machines behind routers of Linux' own kinds in network namespaces all own buckets, over
// direct, punched and relayed paths.
func TestRouters(t *testing.T) {
	var all sync.WaitGroup // at one time, as they wait most of it
	defer all.Wait()
	for name, c := range map[string]struct {
		nats [2]string
		path protocol.Path
	}{
		"full cone":                     {[2]string{fullCone, fullCone}, protocol.PathDirect},
		"port-restricted":               {[2]string{restricted, restricted}, protocol.PathPunched},
		"symmetric":                     {[2]string{symmetric, symmetric}, protocol.PathRelayed},
		"symmetric and port-restricted": {[2]string{symmetric, restricted}, protocol.PathRelayed},
		"symmetric and full cone":       {[2]string{symmetric, fullCone}, protocol.PathDirect},
	} {
		all.Go(func() {
			t.Run(name, func(t *testing.T) {
				s := netns(t, 3, "", func(i int) string { return c.nats[i-2] })
				r := s.run(home{Machines: 3, Steps: 12, Groups: 6, Values: 20000, Relay: true})
				got := pathOf(coordinator.Status{Pairs: r.Pairs}, 2, 3)
				t.Logf("%d machines own buckets, %s; bytes a step by uplink: %v", r.Owners, got, r.Moved)
				if r.Owners != 3 || got != c.path {
					t.Errorf("%d machines own buckets, the two reach each other %q; want 3, %q", r.Owners, got, c.path)
				}
			})
		})
	}
}

// TestUplinks measures what docs/scaling.md says: CONCORD_UPLINKS=100mbit is every machine's
// link.
func TestUplinks(t *testing.T) {
	rate := os.Getenv("CONCORD_UPLINKS")
	if rate == "" {
		t.Skip("set CONCORD_UPLINKS to a rate of tc, such as 100mbit")
	}
	for name, nat := range map[string]string{"full cone": fullCone, "port-restricted": restricted, "symmetric": symmetric} {
		for _, n := range []int{4, 8} {
			s := netns(t, n, rate, func(int) string { return nat })
			p := home{Machines: n, Steps: 12, Groups: 16, Values: 100_000}
			for _, alone := range []bool{true, false} {
				p.Alone, p.Relay = alone, !alone
				r := s.run(p)
				var most uint64
				for i := 2; i <= n; i++ {
					most = max(most, r.Moved[i])
				}
				t.Logf("%s, %d machines, %d own: %.2f s a step; MB a step by uplink: machine 1 %.1f, the busiest other %.1f; %v", name, n,
					r.Owners, r.Step, float64(r.Moved[1])/1e6, float64(most)/1e6, load())
			}
		}
	}
}

// TestSlicedUplinks measures what docs/scaling.md says of a group that is a third of the model, in
// one slice and in sixteen.
func TestSlicedUplinks(t *testing.T) {
	rate := os.Getenv("CONCORD_UPLINKS")
	if rate == "" {
		t.Skip("set CONCORD_UPLINKS to a rate of tc, such as 100mbit")
	}
	for _, n := range []int{4, 8} {
		s := netns(t, n, rate, func(int) string { return fullCone })
		p := home{Machines: n, Steps: 12, Groups: 16, Values: 100_000, Large: 800_000, Rows: 16}
		for _, p.Slices = range []int{1, 16} {
			r := s.run(p)
			sent, received := slices.Sorted(maps.Values(r.Moved)), slices.Sorted(maps.Values(r.Received))
			mb := func(x uint64) float64 { return float64(x) / 1e6 }
			t.Logf("%d machines, %d slices: %.2f s a step; MB a step by uplink %.1f to %.1f, by downlink %.1f to %.1f; %s", n, p.Slices, r.Step,
				mb(sent[0]), mb(sent[n-1]), mb(received[0]), mb(received[n-1]), load())
		}
	}
}

// load is how busy the computer is.
func load() string {
	b, _ := os.ReadFile("/proc/loadavg")
	return "load " + strings.Fields(string(b) + " ?")[0]
}
