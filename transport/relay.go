package transport

import (
	"context"
	"encoding/binary"
	"errors"
	"sync"
	"time"

	"golang.org/x/time/rate"
)

// Two machines of which neither can dial the other, such as two behind symmetric NATs,
// reach each other through a third: the packets of their QUIC connection travel as
// datagrams (RFC 9221) over the connections that both have to it. They prove themselves to
// each other as ever, and the third sees only what a router sees. A connection to a relay
// carries nothing else: its congestion control is its own, and the messages between a machine
// and the relay's go beside it.

// relayHead is the length of a relayed packet's head: a worker's number, little endian. On the
// way to the relay it is the receiver's, on the way from it the sender's.
const relayHead = 4

// relayPacket is the size of relayed packets: the smallest that QUIC allows, since they
// travel in packets of 1,280 bytes.
const relayPacket = 1200

// Bounds on a relay's work for one machine.
const (
	relayQueue = 256      // packets that wait for a receiver; more are dropped, as a router does
	relayShare = 64       // of them, from one sender
	relayRate  = 12.5e6   // bytes a second from one sender
	relayBurst = 64 << 10 // bytes
	wakeEvery  = time.Second
)

// Relay passes packets on between machines that do not reach each other. Safe for
// concurrent use.
type Relay struct {
	// Allowed says that one worker may send to another.
	Allowed func(from, to uint32) bool
	// Wake asks a worker to connect to the relay, as there is something for it.
	Wake func(worker uint32)

	mu    sync.Mutex
	ends  map[uint32]*relayEnd
	woken map[uint32]time.Time
	bytes map[[2]uint32]int64 // passed on, by sender and receiver
}

// relayEnd is a machine that is connected to the relay.
type relayEnd struct {
	c     *Conn
	limit *rate.Limiter
	out   chan relayed

	mu     sync.Mutex
	queued map[uint32]int // packets in out, by sender
}

// relayed is a packet with its head.
type relayed struct {
	from uint32
	data []byte
}

// errRound says that packets would go round.
var errRound = errors.New("a connection to the relay cannot go through the relay")

// Serve passes on the packets that come over c, and those for its machine, until c ends. An
// earlier connection of that machine is closed. A connection that goes through a relay itself is
// refused: its packets would be wrapped in packets of its own without end.
func (r *Relay) Serve(c *Conn) error {
	if c.Relayed() {
		return errRound
	}
	e := &relayEnd{c: c, limit: rate.NewLimiter(relayRate, relayBurst), out: make(chan relayed, relayQueue), queued: map[uint32]int{}}
	r.mu.Lock()
	if r.ends == nil {
		r.ends, r.woken, r.bytes = map[uint32]*relayEnd{}, map[uint32]time.Time{}, map[[2]uint32]int64{}
	}
	old := r.ends[c.Peer.Worker]
	r.ends[c.Peer.Worker] = e
	r.mu.Unlock()
	if old != nil {
		old.c.Close("connected to the relay anew")
	}
	c.e.wg.Go(e.send)
	c.e.wg.Go(func() {
		r.hear(e)
		r.mu.Lock()
		defer r.mu.Unlock()
		if r.ends[c.Peer.Worker] == e {
			delete(r.ends, c.Peer.Worker)
		}
	})
	return nil
}

// Drop ends a worker's connection to the relay.
func (r *Relay) Drop(worker uint32) {
	r.mu.Lock()
	e := r.ends[worker]
	r.mu.Unlock()
	if e != nil {
		go e.c.Close("it is no member any more")
	}
}

// Bytes are how many were passed on between two workers, in both directions.
func (r *Relay) Bytes(a, b uint32) int64 {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.bytes[[2]uint32{a, b}] + r.bytes[[2]uint32{b, a}]
}

// hear takes a machine's packets.
func (r *Relay) hear(e *relayEnd) {
	for {
		b, err := e.c.s.ReceiveDatagram(e.c.Context())
		if err != nil {
			return
		}
		if len(b) <= relayHead || len(b) > relayHead+relayPacket || !e.limit.AllowN(time.Now(), len(b)) {
			continue
		}
		from, to := e.c.Peer.Worker, binary.LittleEndian.Uint32(b)
		if to := r.receiver(from, to, len(b)); to != nil {
			binary.LittleEndian.PutUint32(b, from)
			to.queue(relayed{from, b})
		}
	}
}

// receiver is where a packet of n bytes goes to, nil: nowhere.
func (r *Relay) receiver(from, to uint32, n int) *relayEnd {
	if from == to || !r.Allowed(from, to) {
		return nil
	}
	r.mu.Lock()
	e, now := r.ends[to], time.Now()
	wake := e == nil && now.Sub(r.woken[to]) >= wakeEvery
	if wake {
		r.woken[to] = now
	} else if e != nil {
		r.bytes[[2]uint32{from, to}] += int64(n)
	}
	r.mu.Unlock()
	if wake {
		r.Wake(to)
	}
	return e
}

// queue has a packet wait for its turn, or drops it.
func (e *relayEnd) queue(p relayed) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.queued[p.from] >= relayShare {
		return
	}
	select {
	case e.out <- p:
		e.queued[p.from]++
	default:
	}
}

// send sends the packets that wait, within the machine's upload limit.
func (e *relayEnd) send() {
	ctx := e.c.Context()
	for {
		var p relayed
		select {
		case <-ctx.Done():
			return
		case p = <-e.out:
		}
		e.mu.Lock()
		if e.queued[p.from]--; e.queued[p.from] == 0 {
			delete(e.queued, p.from)
		}
		e.mu.Unlock()
		if _, err := e.c.e.throttle(ctx, len(p.data)); err != nil || e.c.s.SendDatagram(p.data) != nil && ctx.Err() != nil {
			return
		}
	}
}

// throttle waits until some of n bytes may be sent, and returns how many. Transfers that wait take turns.
func (e *Endpoint) throttle(ctx context.Context, n int) (int, error) {
	l := e.limit.Load()
	if l == nil {
		return n, nil
	}
	n = min(n, l.Burst())
	if err := l.WaitN(ctx, n); err != nil && ctx.Err() == nil { // its turn comes after the deadline
		return 0, context.DeadlineExceeded
	} else if err != nil {
		return 0, err
	}
	return n, nil
}
