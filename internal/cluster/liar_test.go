package cluster

import (
	"encoding/binary"
	"fmt"
	"math"
	"slices"
	"testing"
	"time"

	"concord/internal/simrouter"
	"concord/transport"
)

// liar is worker 4 of six, which dials the others, as they cannot dial it; from step 12 on, sent decides about its
// transfers. The others end the run, and are not put out; no step takes longer than most.
func liar(t *testing.T, most time.Duration, sent func(to uint32, h transport.Header, payload []byte) bool, end func(w *world)) {
	t.Helper()
	for _, deadline := range short(true, false) {
		var kept *world
		var honest []*node
		simulate(t, 1, 40, fastNet, func(w *world, _ *simrouter.Router) {
			w.min, w.relay, w.patience, w.deadline, w.unreachable, kept = 6, true, time.Hour, deadline, 4, w
			w.slow = func(uint32, int, int) { time.Sleep(20 * time.Millisecond) }
			w.sent = func(to uint32, h transport.Header, payload []byte) bool {
				return h.Sender != 4 || h.Step <= 10 || sent(to, h, payload)
			}
			last, longest := time.Now(), time.Duration(0)
			w.committedAt = func(int) { longest, last = max(longest, time.Since(last)), time.Now() }
			all := make([]*node, 6)
			for i := range all {
				all[i] = w.start(uint32(i + 1))
			}
			honest = slices.Delete(slices.Clone(all), 3, 4)
			w.wait(honest...)
			for _, n := range honest {
				if why := w.evicted(n.id); why != "" {
					t.Errorf("deadline %v: worker %d is out: %s", deadline, n.id, why)
				}
			}
			if longest > most {
				t.Errorf("deadline %v: a step took %v", deadline, longest)
			}
			end(w)
			w.close(all...)
			time.Sleep(30 * time.Second)
		})
		one := kept.replay(t, 40)
		for _, n := range honest {
			same(t, fmt.Sprintf("deadline %v: worker %d", deadline, n.id), one, n)
		}
	}
}

// Rows that a few owners cannot use do not hold up these, nor are they to blame.
func TestBadRowsForSome(t *testing.T) {
	t.Parallel()
	liar(t, 3*time.Second, func(to uint32, h transport.Header, payload []byte) bool {
		if h.Kind == transport.Rows && (to == 2 || to == 3) && payload != nil {
			binary.LittleEndian.PutUint32(payload, math.Float32bits(float32(math.NaN())))
		}
		return true
	}, func(w *world) {
		if n := len(w.record[39].Shares); n != 5 {
			t.Errorf("the last step counts shares of %d machines", n)
		}
	})
}

// One that does not send its rows, or its groups, to one other is kept apart from that one; at odds with
// two it is out.
func TestWithheldFromOne(t *testing.T) {
	t.Parallel()
	for _, kind := range short(transport.Rows, transport.Gradient) {
		for _, victims := range short([]uint32{3}, []uint32{2, 3}) {
			liar(t, 70*time.Second, func(to uint32, h transport.Header, _ []byte) bool {
				return h.Kind != kind || !slices.Contains(victims, to)
			}, func(w *world) {
				if why := w.evicted(4); (why != "") != (len(victims) > 1 && kind == transport.Rows) {
					t.Errorf("kind %v, withheld from %d: it is out: %q\n%s", kind, victims, why, w.text())
				}
			})
		}
	}
}
