package cluster

import (
	"fmt"
	"net"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"concord/internal/cluster/protocol"
	"concord/internal/simrouter"
)

// behindNAT has machines from number first on be behind symmetric NATs of their own, and the
// coordinator find that out.
func (w *world) behindNAT(r *simrouter.Router, first int) {
	var port atomic.Int32
	w.socket = func() (net.PacketConn, error) {
		return r.ListenAt(&net.UDPAddr{IP: net.IPv4(10, 0, 0, 1), Port: 50000 + int(port.Add(1))}, fastNet), nil
	}
	listen := w.listen
	w.listen = func(id int) net.PacketConn {
		conn := listen(id)
		if id >= first {
			r.Behind(conn.LocalAddr(), simrouter.Symmetric)
		}
		return conn
	}
}

// fewestOwners notes how many machines own buckets in each step from the given one on, the
// fewest of all; called before the machines start.
func (w *world) fewestOwners(from int, first **node) *atomic.Int32 {
	var fewest atomic.Int32
	fewest.Store(1 << 20)
	w.committedAt = func(step int) {
		if step >= from {
			fewest.Store(min(fewest.Load(), int32(owners(*first))))
		}
	}
	return &fewest
}

// One machine behind a NAT that says of owner after owner that their buckets are spoilt takes the
// buckets of one at most: from the second on the fault is with it, and when most are
// accused it is out. With two of five accused it stays, and owns none.
func TestOneAccuserTakesOneOwner(t *testing.T) {
	t.Parallel()
	one := reference(t, 30)
	for _, most := range short(2, 5) {
		simulate(t, 1, 30, fastNet, func(w *world, r *simrouter.Router) {
			w.min, w.relay, w.patience = 7, true, time.Hour
			w.behindNAT(r, 7)
			w.slow = func(_ uint32, step, group int) {
				if step == 0 && group == 0 {
					time.Sleep(probed)
				}
				time.Sleep(20 * time.Millisecond)
			}
			accused := map[uint32]bool{}
			w.crash = func(n *node, where string) error {
				if p := n.m.Plan(); n.id == 7 && n.step > 10 && where == "planned" && p != nil {
					for u, owner := range p.Owners {
						if owner > 1 && !accused[owner] && len(accused) < most {
							accused[owner] = true
							n.m.Report(protocol.Problem{Kind: protocol.ProblemResolved, Worker: owner, Step: p.Step, Generation: p.Generation,
								Group: u, Text: "because I say so"})
							break
						}
					}
				}
				return nil
			}
			var first *node
			fewest := w.fewestOwners(8, &first)
			all := make([]*node, 6)
			for i := range all {
				all[i] = w.start(uint32(i + 1))
				first = all[0]
			}
			evil := w.start(7)
			w.wait(all...)
			for _, n := range all {
				same(t, fmt.Sprint("worker ", n.id), one, n)
			}
			if n := fewest.Load(); n < 5 {
				t.Errorf("%d accused: only %d machines own buckets in some step", most, n)
			}
			if out := w.evicted(7) != ""; out != (most > 2) {
				t.Errorf("%d accused: the accuser is out: %v: %s", most, out, w.text())
			}
			w.close(append(all, evil)...)
			time.Sleep(30 * time.Second)
		})
	}
}

// A machine behind a NAT of which packets reach machine 1 alone does its part over machine 1, and
// all others own buckets all the while. Where machine 1 does not relay it is out, with the
// fix, and the others own theirs again.
func TestBlockedMachineIsRelayed(t *testing.T) {
	t.Parallel()
	one := reference(t, 60)
	for _, relay := range short(true, false) {
		simulate(t, 1, 60, fastNet, func(w *world, r *simrouter.Router) {
			w.min, w.relay, w.patience = 4, relay, time.Hour
			w.behindNAT(r, 5)
			w.slow = func(uint32, int, int) { time.Sleep(50 * time.Millisecond) }
			var first *node
			fewest := w.fewestOwners(40, &first)
			first = w.start(1)
			all := []*node{first, w.start(2), w.start(3), w.start(4)}
			w.at(5)
			e := w.start(5)
			e.conn.mu.Lock()
			e.conn.only = w.addr
			e.conn.mu.Unlock()
			w.wait(all...)
			want, counted := 4, 0
			if relay {
				w.wait(e)
				all, want = append(all, e), 5
			}
			for _, n := range all {
				same(t, fmt.Sprintf("relay %v, worker %d", relay, n.id), one, n)
			}
			if n := fewest.Load(); int(n) != want {
				t.Errorf("relay %v: %d machines own buckets, not %d: %s", relay, n, want, w.text())
			}
			for _, s := range w.record[59].Shares {
				if s.Worker == 5 {
					counted = s.Size()
				}
			}
			if counted > 0 != relay {
				t.Errorf("relay %v: %d rows of the blocked machine count in the last step", relay, counted)
			}
			if why := w.evicted(5); (why != "") == relay || !relay && !strings.Contains(why, "cluster.relay = true") {
				t.Errorf("relay %v: it is out: %q", relay, why)
			}
			if relay {
				w.close(all...)
			} else {
				w.close(append(all, e)...)
			}
			time.Sleep(30 * time.Second)
		})
	}
}
