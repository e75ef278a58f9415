package train

import (
	"net"
	"os"
	"slices"
	"sync"
	"testing"
	"time"

	"concord/internal/report"
	"concord/transport"
)

// link is a socket whose packets leave at a rate and arrive after a delay.
type link struct {
	net.PacketConn
	rate  float64 // bytes per second
	delay time.Duration
	mu    sync.Mutex
	free  time.Time // when the line is free again
	queue chan parcel
}

type parcel struct {
	at   time.Time
	data []byte
	to   net.Addr
}

// queueFor is how long packets may wait for the line before they are dropped.
const queueFor = 50 * time.Millisecond

func newLink(conn net.PacketConn, rate float64, delay time.Duration) *link {
	l := &link{PacketConn: conn, rate: rate, delay: delay, queue: make(chan parcel, 1<<14)}
	go func() {
		for p := range l.queue {
			time.Sleep(time.Until(p.at))
			conn.WriteTo(p.data, p.to)
		}
	}()
	return l
}

// WriteTo sends a packet when the line is free, or drops it.
func (l *link) WriteTo(b []byte, to net.Addr) (int, error) {
	l.mu.Lock()
	now := time.Now()
	if l.free.Before(now) {
		l.free = now
	}
	if l.free.Sub(now) > queueFor {
		l.mu.Unlock()
		return len(b), nil
	}
	l.free = l.free.Add(time.Duration(float64(len(b)) / l.rate * 1e9))
	at := l.free.Add(l.delay)
	l.mu.Unlock()
	select {
	case l.queue <- parcel{at, slices.Clone(b), to}:
	default:
	}
	return len(b), nil
}

// The time of a step on W machines under simulated links, and how much of the
// exchange hides behind computation. All machines share this one's cores: a
// step's computation is that of the whole batch, whatever W.
//
//	CONCORD_BENCH=1 go test ./internal/train -run TestStepUnderLinks -v
func TestStepUnderLinks(t *testing.T) {
	if os.Getenv("CONCORD_BENCH") == "" {
		t.Skip("a measurement: set CONCORD_BENCH=1")
	}
	defer func() { socket = nil }()
	for _, l := range []struct {
		name  string
		rate  float64
		delay time.Duration
	}{{"loopback", 0, 0}, {"1 Gbit/s, 1 ms", 125e6, 500 * time.Microsecond}, {"100 Mbit/s, 40 ms", 12.5e6, 20 * time.Millisecond},
		{"20 Mbit/s, 40 ms", 2.5e6, 20 * time.Millisecond}} {
		socket = nil
		if l.rate > 0 {
			socket = func(addr string) (net.PacketConn, string, error) {
				c, hint, err := transport.Socket(addr)
				if err != nil {
					return nil, "", err
				}
				return newLink(c, l.rate, l.delay), hint, nil
			}
		}
		for _, n := range []int{2, 3} {
			measureLink(t, l.name, n, 12, "cluster.sync=gradients")
			measureLink(t, l.name, n, 12, "cluster.sync=parameters")
		}
		measureLink(t, l.name, 3, 12, "cluster.resolve=local")
		measureLink(t, l.name, 3, 3, "cluster.outer=10", "cluster.wire=int8")
	}
}

func measureLink(t *testing.T, name string, n, exchanges int, settings ...string) {
	cfg := load(t, "../../examples/three/run.toml", append([]string{"cluster.wire=bf16", "cluster.shares=equal",
		"cluster.deadline=false", "cluster.silence=20", "schedule.steps=100", "device.cache_dir=" + t.TempDir()}, settings...)...)
	g := newGang(t, cfg, n)
	h := max(1, cfg.OuterSteps())
	g.steps(max(4, h))
	var mu sync.Mutex
	var steps []report.Step
	var wg sync.WaitGroup
	for i, tr := range g.all {
		wg.Go(func() {
			for range exchanges {
				r, err := tr.Step(t.Context())
				if err != nil {
					t.Error(err)
					return
				}
				if i == n-1 { // not machine 1, whose rows for itself do not travel
					mu.Lock()
					steps = append(steps, r)
					mu.Unlock()
				}
			}
		})
	}
	wg.Wait()
	med := func(f func(report.Step) float64) float64 {
		var x []float64
		for _, s := range steps {
			x = append(x, f(s))
		}
		slices.Sort(x)
		return x[len(x)/2]
	}
	exchange, exposed := med(func(s report.Step) float64 { return s.Exchange.Seconds }),
		med(func(s report.Step) float64 { return s.Exchange.Exposed })
	per := float64(h)
	t.Logf("%-18s W=%d %-25s %.2f s a step; exchange %.2f s, of which %.2f s exposed: %.0f %% hidden; %.2f MB sent by a worker",
		name, n, settings[0],
		med(func(s report.Step) float64 { return s.Seconds })/per, exchange/per, exposed/per, 100*(1-exposed/exchange),
		med(func(s report.Step) float64 { return float64(s.Exchange.SentBytes) / 1e6 })/per)
	g.stop()
}
