package cluster

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net"
	"path/filepath"
	"sync"
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
// When the leader dies one of the others takes over with the weights it has.
type Site struct {
	Member *Member
	Hint   string
	Addr   string // where the others find it
	store  store.Store
	ep     *transport.Endpoint
	office office

	won    chan struct{} // closed when this machine leads
	lost   <-chan struct{}
	resign func()
	cancel context.CancelFunc
	wg     sync.WaitGroup
}

// OpenSite takes this machine's place in the run and stands for election.
func OpenSite(ctx context.Context, o SiteOptions) (*Site, error) {
	s := &Site{store: o.Store, won: make(chan struct{})}
	if err := s.open(ctx, o); err != nil {
		o.Store.Close()
		return nil, err
	}
	ctx, s.cancel = context.WithCancel(context.WithoutCancel(ctx))
	s.wg.Go(func() { s.stand(ctx, o.Member.Log) })
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
	identity, err := siteIdentity(s.store, ca, filepath.Join(dir, identityFile))
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
	s.ep, err = transport.Open(conn, transport.Options{Identity: identity, Services: s.Member.services(&s.office), ResetKey: reset, UploadLimit: o.UploadLimit, WAN: o.WAN, Revoked: s.Member.revoked})
	return err
}

// siteIdentity is this machine's identity: the one in the file, so that it has the
// same number whenever it comes, or a new one. Who holds the authority renews what
// runs out.
func siteIdentity(st store.Store, ca *transport.CA, path string) (*transport.Identity, error) {
	old := readIdentity(path, transport.Fingerprint(ca.Certificate()))
	if old != nil && time.Until(old.Expires()) > renewBefore {
		return old, nil
	}
	var n uint32
	var err error
	if old != nil {
		n = old.Worker
	} else if n, err = nextWorker(st); err != nil {
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

// stand campaigns until this machine leads.
func (s *Site) stand(ctx context.Context, log func(string, ...any)) {
	b, _ := json.Marshal(s.Addr)
	for ctx.Err() == nil {
		lost, resign, err := s.store.Lead(ctx, b)
		if err == nil {
			s.lost, s.resign = lost, resign
			close(s.won)
			return
		}
		if ctx.Err() == nil {
			log("the election in etcd: %v; trying again", err)
			select {
			case <-ctx.Done():
			case <-time.After(time.Second):
			}
		}
	}
}

// Won is closed when this machine leads: it must then call Lead.
func (s *Site) Won() <-chan struct{} { return s.won }

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
func (s *Site) Connect(ctx context.Context) error {
	for {
		_, err := s.Member.Connect(ctx, s.ep)
		if err == nil || errors.Is(err, transport.ErrProof) || errors.Is(err, ErrBanned) || ctx.Err() != nil {
			return err
		}
		select {
		case <-ctx.Done():
		case <-time.After(beat):
		}
	}
}

// Lead opens the coordinator's office here; the member of this machine, if it is
// connected to another, finds it by itself. start is the step of this machine's
// weights, for a run that has committed none.
func (s *Site) Lead(ctx context.Context, o CoordinatorOptions, start int) (*Coordinator, error) {
	o.Store, o.Local, o.Port = s.store, s.ep.Identity().Worker, s.ep.Addr().(*net.UDPAddr).Port
	o.Probe = probeAs(s.ep.Identity())
	c, err := NewCoordinator(ctx, o, start)
	if err != nil {
		return nil, err
	}
	s.office.held.Store(c)
	s.wg.Go(func() {
		select {
		case <-s.lost:
			c.post(func() { c.fail(errors.New("this machine's lease in etcd is gone: another one leads now")) })
		case <-c.done:
		}
	})
	return c, nil
}

// Close leaves the run; a leader hands over.
func (s *Site) Close() {
	s.cancel()
	s.Member.Leave()
	s.ep.Close()
	if s.resign != nil {
		s.resign()
	}
	s.wg.Wait()
	s.store.Close()
}

// office is the coordinator's service of a machine that may come to lead.
type office struct{ held atomic.Pointer[Coordinator] }

var errOffice = errors.New("this machine does not lead (yet)")

func (o *office) Connected(c *transport.Conn, hello json.RawMessage) (any, error) {
	if k := o.held.Load(); k != nil {
		return k.Connected(c, hello)
	}
	return nil, errOffice
}

func (o *office) Message(c *transport.Conn, m transport.Message) {
	if k := o.held.Load(); k != nil {
		k.Message(c, m)
	}
}

func (o *office) Disconnected(c *transport.Conn, err error) {
	if k := o.held.Load(); k != nil {
		k.Disconnected(c, err)
	}
}

func (o *office) Offer(*transport.Conn, transport.Header) (transport.Verdict, string) {
	return transport.Refuse, "this is the coordinator's service"
}

func (o *office) Deliver(*transport.Conn, transport.Header, []byte, []byte) error { return errOffice }

func (o *office) Fetch(c *transport.Conn, request json.RawMessage) (int64, io.ReadCloser, error) {
	if k := o.held.Load(); k != nil {
		return k.Fetch(c, request)
	}
	return 0, nil, errOffice
}
