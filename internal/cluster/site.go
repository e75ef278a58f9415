package cluster

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"path/filepath"
	"sync/atomic"
	"time"

	"concord/internal/cluster/store"
	"concord/transport"
)

// SiteOptions are what one of several equal machines needs that share a store.
// Whoever can write to that is trusted: it holds the run's authority.
type SiteOptions struct {
	Store  store.Store // the run's; Close closes it
	Listen string
	// Folder is where this machine keeps its identity in the run with this authority,
	// see transport.Fingerprint.
	Folder      func(ca [32]byte) (string, error)
	Member      MemberOptions
	UploadLimit int64
	WAN         bool
}

// Site is a machine that may lead and, while another one does, works for it.
// When the leader dies, or loses its lease, one of the others takes over with the
// weights that it has.
type Site struct {
	Member *Member
	Hint   string
	Addr   string // where the others find it
	store  store.Store
	ep     *transport.Endpoint
	lead   elected
}

// OpenSite takes this machine's place in the run. The run's store is closed with it.
func OpenSite(ctx context.Context, o SiteOptions) (*Site, error) {
	s := &Site{store: o.Store}
	if err := s.open(ctx, o); err != nil {
		o.Store.Close()
		return nil, err
	}
	return s, nil
}

// open takes this machine's identity in the run and opens its endpoint.
func (s *Site) open(ctx context.Context, o SiteOptions) error {
	ca, err := siteAuthority(ctx, s.store)
	if err != nil {
		return err
	}
	dir, err := o.Folder(transport.Fingerprint(ca.Certificate()))
	if err != nil {
		return err
	}
	identity, err := siteIdentity(ctx, s.store, ca, filepath.Join(dir, identityFile))
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
	s.Member = NewMember(o.Member)
	s.ep, err = transport.Open(conn, transport.Options{Identity: identity, Services: s.Member.services(&s.lead), ResetKey: reset,
		UploadLimit: o.UploadLimit, WAN: o.WAN, Revoked: s.Member.revoked})
	return err
}

// siteIdentity is this machine's identity: the one in the file, so that it has the
// same number whenever it comes, or a new one. Who holds the authority renews what
// runs out.
func siteIdentity(ctx context.Context, st store.Store, ca *transport.CA, path string) (*transport.Identity, error) {
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

// siteAuthority is the authority in the store; the first machine makes it.
func siteAuthority(ctx context.Context, st store.Store) (*transport.CA, error) {
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

// ErrDeposed says that a coordinator was elected and is no more.
var ErrDeposed = errors.New("this machine leads no longer")

// Campaign waits until this machine is elected, however often an election fails, and
// returns its coordinator, which the members find by themselves. It fails with
// ErrDeposed when the election is lost; this machine's member then works for whoever
// leads next. resign hands over, in any case; until it is called this machine is no
// candidate. start is the step of this machine's weights, for a run that has committed
// none.
func (s *Site) Campaign(ctx context.Context, o CoordinatorOptions, start int) (c *Coordinator, resign func(), err error) {
	o.Store, o.Local, o.Port, o.Elected = s.store, s.ep.Identity().Worker, s.ep.Addr().(*net.UDPAddr).Port, true
	o.Probe = probeAs(s.ep.Identity())
	said := ""
	for {
		if c, resign, err = s.campaign(ctx, o, start); err == nil || ctx.Err() != nil {
			return c, resign, err
		}
		if err.Error() != said { // an outage takes minutes
			said = err.Error()
			logf(o.Log, "the election: %v; trying again", err)
		}
		select {
		case <-ctx.Done():
			return nil, nil, ctx.Err()
		case <-time.After(campaignPause):
		}
	}
}

// campaign is Campaign, once.
func (s *Site) campaign(ctx context.Context, o CoordinatorOptions, start int) (*Coordinator, func(), error) {
	b, err := json.Marshal(s.Addr)
	if err != nil {
		return nil, nil, err
	}
	lost, yield, err := s.store.Lead(ctx, b)
	if err != nil {
		return nil, nil, err
	}
	c, err := NewCoordinator(ctx, o, start)
	if err != nil {
		yield()
		return nil, nil, err
	}
	s.lead.now.Store(c)
	go func() {
		select {
		case <-lost:
			c.post(func() { c.fail(fmt.Errorf("%w: its lease in the store ran out", ErrDeposed)) })
		case <-c.done:
		}
	}()
	return c, func() { s.lead.now.CompareAndSwap(c, nil); yield() }, nil
}

// find is where the leader is.
func (s *Site) find(ctx context.Context) (string, error) {
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

// Connect introduces this machine to whoever leads, and waits until somebody
// does.
func (s *Site) Connect(ctx context.Context) (Welcome, error) {
	for {
		w, err := s.Member.Connect(ctx, s.ep)
		if err == nil || errors.Is(err, transport.ErrProof) || errors.Is(err, ErrBanned) || ctx.Err() != nil {
			return w, err
		}
		select {
		case <-ctx.Done():
		case <-time.After(heartbeat):
		}
	}
}

// Close leaves the run.
func (s *Site) Close() {
	s.Member.Leave()
	s.ep.Close()
	s.store.Close()
}

// elected is the coordinator's service of a machine that may come to lead.
type elected struct{ now atomic.Pointer[Coordinator] }

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

func (e *elected) Offer(*transport.Conn, transport.Header) (transport.Verdict, string) {
	return transport.Refuse, "this is the coordinator's service"
}

func (e *elected) Deliver(*transport.Conn, transport.Header, []byte, []byte) error { return errFollows }

func (e *elected) Fetch(c *transport.Conn, request json.RawMessage) (int64, io.ReadCloser, error) {
	if k := e.now.Load(); k != nil {
		return k.Fetch(c, request)
	}
	return 0, nil, errFollows
}
