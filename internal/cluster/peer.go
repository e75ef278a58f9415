package cluster

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net"
	"path/filepath"
	"sync/atomic"
	"time"

	"concord/internal/cluster/coordinator"
	"concord/internal/cluster/protocol"
	"concord/internal/cluster/store"
	"concord/internal/cluster/worker"
	"concord/transport"
)

// PeerOptions are the settings of one of several equal machines that share a store.
// Anybody who can write to that is trusted: it holds the run's authority.
type PeerOptions struct {
	Store  store.Store // the run's; Close closes it
	Listen string
	// Folder is where this machine keeps its identity in the run with this authority,
	// see transport.Fingerprint.
	Folder      func(ca [32]byte) (string, error)
	Member      worker.Options
	UploadLimit int64
	WAN         bool
}

// Peer is a machine that may lead and, while another one does, works for it.
// When the leader dies, or loses its lease, one of the others takes over with the
// weights that it has.
type Peer struct {
	Member *worker.Member
	Hint   string
	Addr   string // where the others find it
	store  store.Store
	ep     *transport.Endpoint
	lead   elected
}

// OpenPeer takes this machine's place in the run. The run's store is closed with it.
func OpenPeer(ctx context.Context, o PeerOptions) (*Peer, error) {
	s := &Peer{store: o.Store}
	if err := s.open(ctx, o); err != nil {
		o.Store.Close()
		return nil, err
	}
	return s, nil
}

// open takes this machine's identity in the run and opens its endpoint.
func (s *Peer) open(ctx context.Context, o PeerOptions) error {
	ca, err := sharedAuthority(ctx, s.store)
	if err != nil {
		return err
	}
	dir, err := o.Folder(transport.Fingerprint(ca.Certificate()))
	if err != nil {
		return err
	}
	identity, err := peerIdentity(ctx, s.store, ca, filepath.Join(dir, identityFile))
	if err != nil {
		return err
	}
	reset, err := resetKey(filepath.Join(dir, "reset.key"))
	if err != nil {
		return err
	}
	conn, hint, err := transport.Socket(o.Listen)
	if err != nil {
		return err
	}
	s.Hint, s.Addr = hint, reachable(conn.LocalAddr())[0]
	o.Member.Find = s.find
	s.Member = worker.New(o.Member)
	s.ep, err = transport.Open(conn, transport.Options{Identity: identity, Services: s.Member.Services(&s.lead), ResetKey: reset,
		UploadLimit: o.UploadLimit, WAN: o.WAN, Revoked: s.Member.Revoked})
	return err
}

// peerIdentity is this machine's identity: the one in the file, so that it has the
// same number whenever it comes, or a new one. Machines that hold the authority renew
// identities that run out.
func peerIdentity(ctx context.Context, st store.Store, ca *transport.CA, path string) (*transport.Identity, error) {
	old := readIdentity(path, transport.Fingerprint(ca.Certificate()))
	if old != nil && time.Until(old.Expires()) > renewBefore {
		return old, nil
	}
	var n uint32
	var err error
	if old != nil {
		n = old.Worker
	} else if n, err = nextWorker(ctx, st); err != nil {
		return nil, err
	}
	id, err := ca.NewIdentity(n)
	if err != nil {
		return nil, err
	}
	return id, writeFile(path, id.MarshalPEM())
}

// sharedAuthority is the authority in the store; the first machine makes it.
func sharedAuthority(ctx context.Context, st store.Store) (*transport.CA, error) {
	for {
		b, rev, err := st.Get(ctx, "ca")
		if err != nil {
			return nil, err
		}
		if rev > 0 {
			return transport.ParseCA(b)
		}
		fresh, err := transport.NewCA()
		if err != nil {
			return nil, err
		}
		if _, err := st.Put(ctx, "ca", fresh.MarshalPEM(), 0); err != nil && !errors.Is(err, store.ErrConflict) {
			return nil, err
		}
	}
}

// campaignPause is how long a candidate waits before it campaigns again.
const campaignPause = time.Second

// Campaign waits until this machine is elected, however often an election fails, and
// returns its coordinator, which the members find by themselves. It fails with
// coordinator.ErrLostLeadership when the election is lost; this machine's member then works for the
// next leader, and with coordinator.ErrFinished when another machine has finished the run that this one
// took part in. resign hands over, in any case; until it is called this machine is no
// candidate. start is the step of this machine's weights, for a run that has committed
// none.
func (s *Peer) Campaign(ctx context.Context, o coordinator.Options, start int) (c *coordinator.Coordinator, resign func(), err error) {
	o.Store, o.Local, o.Port = s.store, s.ep.Identity().Worker, s.ep.Addr().(*net.UDPAddr).Port
	o.Probe = coordinator.ProbeFrom(s.ep.Identity(), nil)
	said := ""
	for {
		if c, resign, err = s.campaign(ctx, o, start); err == nil || ctx.Err() != nil {
			return c, resign, err
		}
		if errors.Is(err, coordinator.ErrFinished) {
			s.Member.Finish(err.Error())
			return nil, nil, err
		}
		if err.Error() != said { // an outage takes minutes
			said = err.Error()
			protocol.Logf(o.Log, "the election: %v; trying again", err)
		}
		select {
		case <-ctx.Done():
			return nil, nil, ctx.Err()
		case <-time.After(campaignPause):
		}
	}
}

// campaign is Campaign, once.
func (s *Peer) campaign(ctx context.Context, o coordinator.Options, start int) (*coordinator.Coordinator, func(), error) {
	b, err := json.Marshal(s.Addr)
	if err != nil {
		return nil, nil, err
	}
	lost, yield, err := s.store.Lead(ctx, b)
	if err != nil {
		return nil, nil, err
	}
	o.Lost, o.TookPart = lost, s.Member.TookPart()
	c, err := coordinator.New(ctx, o, start)
	if err != nil {
		yield()
		return nil, nil, err
	}
	s.lead.now.Store(c)
	return c, func() { s.lead.now.CompareAndSwap(c, nil); yield() }, nil
}

// find is where the leader is.
func (s *Peer) find(ctx context.Context) (string, error) {
	b, err := s.store.Leader(ctx)
	if err != nil {
		return "", err
	}
	if b == nil {
		return "", errors.New("nobody leads")
	}
	var addr string
	return addr, json.Unmarshal(b, &addr)
}

// Connect introduces this machine to the leader, and waits until there is one.
func (s *Peer) Connect(ctx context.Context) (protocol.Welcome, error) {
	for {
		w, err := s.Member.Connect(ctx, s.ep)
		if err == nil || errors.Is(err, transport.ErrProof) || errors.Is(err, worker.ErrBanned) || ctx.Err() != nil {
			return w, err
		}
		select {
		case <-ctx.Done():
		case <-time.After(protocol.Heartbeat):
		}
	}
}

// Close leaves the run.
func (s *Peer) Close() {
	s.Member.Leave()
	s.ep.Close()
	s.store.Close()
}

// elected is the coordinator's service of a machine that may come to lead.
type elected struct {
	protocol.Nothing
	now atomic.Pointer[coordinator.Coordinator]
}

var errFollows = errors.New("this machine does not lead (yet)")

func (e *elected) Connected(c *transport.Conn, hello json.RawMessage) (any, error) {
	if k := e.now.Load(); k != nil {
		return k.Connected(c, hello)
	}
	return nil, errFollows
}

func (e *elected) Message(c *transport.Conn, m transport.Message) {
	if k := e.now.Load(); k != nil {
		k.Message(c, m)
	}
}

func (e *elected) Disconnected(c *transport.Conn, err error) {
	if k := e.now.Load(); k != nil {
		k.Disconnected(c, err)
	}
}

func (e *elected) Fetch(c *transport.Conn, request json.RawMessage) (int64, io.ReadCloser, error) {
	if k := e.now.Load(); k != nil {
		return k.Fetch(c, request)
	}
	return 0, nil, errFollows
}
