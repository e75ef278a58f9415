package cluster

import (
	"fmt"
	"net"
	"sync/atomic"
	"testing"
	"time"

	"concord/internal/simrouter"
)

// Workers behind NATs of their own: where the coordinator finds that hole punching works
// they own buckets and reach each other directly, where it does not they compute; the run
// has the bits of one machine either way.
func TestWorkersBehindNATs(t *testing.T) {
	const steps = 40
	one := reference(t, steps)
	for name, c := range map[string]struct {
		nat    simrouter.NAT
		owners int
	}{
		"cone":       {simrouter.Cone, 3},
		"restricted": {simrouter.Restricted, 3},
		"symmetric":  {simrouter.Symmetric, 1},
	} {
		t.Run(name, func(t *testing.T) {
			line := simrouter.Line{Rate: 125e6, Delay: 10 * time.Millisecond}
			simulate(t, 1, steps, line, func(w *world, r *simrouter.Router) {
				w.min = 3
				var port atomic.Int32
				w.socket = func() (net.PacketConn, error) {
					return r.ListenAt(&net.UDPAddr{IP: net.IPv4(10, 0, 0, 1), Port: 50000 + int(port.Add(1))}, line), nil
				}
				listen := w.listen
				w.listen = func(id int) net.PacketConn {
					conn := listen(id)
					if id > 1 {
						r.Behind(conn.LocalAddr(), c.nat)
					}
					return conn
				}
				w.slow = func(uint32, int, int) { time.Sleep(80 * time.Millisecond) }
				all := []*node{w.start(1), w.start(2), w.start(3)}
				w.at(steps - 8)
				owners := map[uint32]bool{}
				for _, o := range all[0].m.Plan().Owners {
					owners[o] = true
				}
				if len(owners) != c.owners {
					t.Errorf("%d machines own buckets, not %d", len(owners), c.owners)
				}
				w.mu.Lock()
				for _, m := range w.status.Members {
					if want := m.Worker > 1 && c.nat == simrouter.Restricted; m.Punched != want {
						t.Errorf("worker %d punched: %v, should be %v", m.Worker, m.Punched, want)
					}
				}
				w.mu.Unlock()
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
