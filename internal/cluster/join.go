package cluster

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"time"

	"concord/internal/cluster/protocol"
	"concord/internal/cluster/worker"
	"concord/transport"
)

// JoinOptions are the settings of a machine that joins a run.
type JoinOptions struct {
	Dir    string // for its identity and the run's files
	Line   transport.Line
	Listen string // address, ":0" for any port
	Member worker.Options
	WAN    bool
	Socket SocketFunc // nil: transport.Socket
	// Patience is how long to try where machine 1 does not answer; 0: once.
	Patience time.Duration
	// Again, if not nil, is the line for another attempt: it may have changed.
	Again func() (transport.Line, error)
}

// Joined is a machine that has joined.
type Joined struct {
	Member  *worker.Member
	Welcome protocol.Welcome
	Hint    string
	ep      *transport.Endpoint
}

// Join joins a run, or takes up its place in it again: a machine that has been
// admitted once keeps its identity in Dir. A machine 1 that does not answer may be on its
// way: it is tried again for as long as o.Patience.
func Join(ctx context.Context, o JoinOptions) (*Joined, error) {
	for tries := (worker.Attempts{}); ; {
		w, err := joinOnce(ctx, o)
		if silent := (*unansweredError)(nil); !errors.As(err, &silent) || o.Patience == 0 {
			return w, err
		}
		if tries.News(err.Error()) {
			protocol.Logf(o.Member.Log, "%v\n  trying again for %v", err, o.Patience)
		}
		if !tries.Again(ctx, o.Patience) {
			return nil, cmp.Or(ctx.Err(), err)
		}
		if o.Again == nil {
			continue
		}
		l, err := o.Again()
		if err == nil && l.CA != o.Line.CA {
			err = errors.New("the join line is of another run now")
		}
		if err == nil {
			o.Line = l
		} else if tries.News(err.Error()) {
			protocol.Logf(o.Member.Log, "%v", err)
		}
	}
}

// joinOnce is Join without another attempt.
func joinOnce(ctx context.Context, o JoinOptions) (*Joined, error) {
	identity, addr, err := identify(ctx, o)
	if err != nil {
		return nil, err
	}
	reset, err := resetKey(filepath.Join(o.Dir, "reset.key"))
	if err != nil {
		return nil, err
	}
	conn, hint, err := o.Socket.open(o.Listen)
	if err != nil {
		return nil, err
	}
	o.Member.Coordinator = addr
	w := &Joined{Member: worker.New(o.Member), Hint: hint}
	w.ep, err = transport.Open(conn, transport.Options{Identity: identity, Services: w.Member.Services(nil), ResetKey: reset, WAN: o.WAN,
		Revoked: w.Member.Revoked})
	if err != nil {
		return nil, err
	}
	for _, at := range addrs(o.Line, addr) {
		if w.Welcome, err = w.Member.ConnectTo(ctx, w.ep, at); err == nil || errors.Is(err, transport.ErrRefused) ||
			errors.Is(err, worker.ErrBanned) {
			break
		}
	}
	if err != nil {
		w.ep.Close()
		return nil, unanswered(err, addrs(o.Line, addr))
	}
	return w, nil
}

// unanswered is the advice for a machine 1 that does not answer.
func unanswered(err error, addrs []string) error {
	if t := net.Error(nil); !errors.As(err, &t) || !t.Timeout() {
		return err
	}
	return &unansweredError{addrs}
}

// unansweredError says that nothing answers where machine 1 should be.
type unansweredError struct{ addrs []string }

func (e *unansweredError) Error() string {
	return fmt.Sprintf("machine 1 does not answer at %s (UDP)\n  fix: see that the run is going on there, that firewalls and routers on "+
		"the way "+
		"pass UDP to this port, and that an address in the join line is right; concord invite on machine 1 prints a new line",
		strings.Join(e.addrs, ", "))
}

// addrs are the line's addresses, the one that is known to answer first.
func addrs(l transport.Line, first string) []string {
	out := []string{}
	if first != "" {
		out = append(out, first)
	}
	for _, a := range l.Addrs {
		if a != first {
			out = append(out, a)
		}
	}
	return out
}

// renewBefore is how long before its certificate's end a machine joins anew.
const renewBefore = 7 * 24 * time.Hour

// identify finds this machine's identity in the run, or joins for one.
func identify(ctx context.Context, o JoinOptions) (*transport.Identity, string, error) {
	path := filepath.Join(o.Dir, identityFile)
	old := readIdentity(path, o.Line.CA)
	if old != nil && time.Until(old.Expires()) > renewBefore {
		return old, "", nil
	}
	id, addr, err := enrol(ctx, o, path)
	if err != nil && old != nil && time.Until(old.Expires()) > 0 {
		return old, "", nil // the line admits nobody any more, the certificate still does
	}
	return id, addr, err
}

// identityFile is where a machine keeps its identity.
const identityFile = "identity.pem"

// readIdentity is the identity in a file, nil where there is none of this authority.
func readIdentity(path string, ca [32]byte) *transport.Identity {
	b, err := os.ReadFile(path)
	if err != nil {
		return nil
	}
	id, err := transport.ParseIdentity(b)
	if err != nil || transport.Fingerprint(id.CA) != ca {
		return nil
	}
	return id
}

// enrol joins the run.
func enrol(ctx context.Context, o JoinOptions, path string) (*transport.Identity, string, error) {
	if err := os.MkdirAll(o.Dir, 0o700); err != nil {
		return nil, "", err
	}
	conn, _, err := transport.Socket(":0")
	if err != nil {
		return nil, "", err
	}
	defer conn.Close()
	id, addr, err := transport.Join(ctx, conn, o.Line)
	if err != nil {
		return nil, "", fmt.Errorf("cannot join: %w", unanswered(err, o.Line.Addrs))
	}
	return id, addr, writeFile(path, id.MarshalPEM())
}

// Tune takes over the settings of every machine from the run's configuration.
func (w *Joined) Tune(silence time.Duration, uploadLimit int64) {
	w.Member.SetHeartbeatTimeout(silence)
	w.ep.SetUploadLimit(uploadLimit)
}

// Close leaves the run.
func (w *Joined) Close() {
	w.Member.Leave()
	w.ep.Close()
}
