package cluster

import (
	"fmt"
	"net"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"concord/internal/cluster/coordinator"
	"concord/internal/cluster/protocol"
	"concord/internal/simrouter"
)

// Workers behind NATs of their own: where the coordinator finds that hole punching works
// they own buckets and reach each other directly, where it does not they own them over the
// relay, or compute alone without one; the run has the bits of one machine in every case.
func TestWorkersBehindNATs(t *testing.T) {
	t.Parallel()
	const steps = 40
	one := reference(t, steps)
	for name, c := range map[string]struct {
		nats   [2]simrouter.NAT
		relay  bool
		owners int
		path   protocol.Path // between the two
	}{
		"cone":                  {nats: both(simrouter.Cone), relay: true, owners: 3, path: protocol.PathDirect},
		"restricted":            {nats: both(simrouter.Restricted), relay: true, owners: 3, path: protocol.PathPunched},
		"symmetric and relayed": {nats: both(simrouter.Symmetric), relay: true, owners: 3, path: protocol.PathRelayed},
		"symmetric":             {nats: both(simrouter.Symmetric), owners: 1},
		"symmetric and cone": {nats: [2]simrouter.NAT{simrouter.Symmetric, simrouter.Cone}, relay: true, owners: 3,
			path: protocol.PathDirect},
		"symmetric and restricted": {nats: [2]simrouter.NAT{simrouter.Restricted, simrouter.Symmetric}, relay: true, owners: 3,
			path: protocol.PathRelayed},
	} {
		t.Run(name, func(t *testing.T) {
			line := simrouter.Line{Rate: 125e6, Delay: 10 * time.Millisecond}
			simulate(t, 1, steps, line, func(w *world, r *simrouter.Router) {
				w.min, w.relay = 3, c.relay
				var port atomic.Int32
				w.socket = func() (net.PacketConn, error) {
					return r.ListenAt(&net.UDPAddr{IP: net.IPv4(10, 0, 0, 1), Port: 50000 + int(port.Add(1))}, line), nil
				}
				listen := w.listen
				w.listen = func(id int) net.PacketConn {
					conn := listen(id)
					if id > 1 {
						r.Behind(conn.LocalAddr(), c.nats[id-2])
					}
					return conn
				}
				w.slow = func(uint32, int, int) { time.Sleep(80 * time.Millisecond) }
				all := []*node{w.start(1), w.start(2), w.start(3)}
				w.at(steps - 8)
				if n := owners(all[0]); n != c.owners {
					t.Errorf("%d machines own buckets, not %d", n, c.owners)
				}
				w.mu.Lock()
				for _, m := range w.status.Members {
					if want := m.Worker > 1 && c.nats[m.Worker-2] == simrouter.Restricted; m.Punched != want {
						t.Errorf("worker %d punched: %v, should be %v", m.Worker, m.Punched, want)
					}
				}
				if got := pathOf(w.status, 2, 3); got != c.path {
					t.Errorf("the two reach each other %q, should be %q: %+v", got, c.path, w.status.Pairs)
				}
				w.mu.Unlock()
				told := strings.Contains(strings.Join(w.logs(), "\n"), "with cluster.relay = false, where they own no groups, it would send")
				if told != (c.path == protocol.PathRelayed) {
					t.Errorf("relayed %v, and the price is told: %v", !told, told)
				}
				w.wait(all...)
				for _, n := range all {
					same(t, fmt.Sprint("worker ", n.id), one, n)
				}
				w.close(all...)
				time.Sleep(30 * time.Second)
			})
		})
	}
}

func both(n simrouter.NAT) [2]simrouter.NAT { return [2]simrouter.NAT{n, n} }

// pathOf is how two workers reach each other.
func pathOf(s coordinator.Status, a, b uint32) protocol.Path {
	for _, p := range s.Pairs {
		if p.Workers == [2]uint32{a, b} {
			return p.Path
		}
	}
	return ""
}

// logs is the log so far.
func (w *world) logs() []string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return slices.Clone(w.logged)
}
