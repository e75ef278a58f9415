package cluster

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"time"

	"concord/internal/cluster/coordinator"
	"concord/internal/cluster/protocol"
	"concord/internal/cluster/store"
	"concord/internal/cluster/worker"
	"concord/transport"
)

// HostOptions are the settings of machine 1, which leads a run.
type HostOptions struct {
	Dir         string                                // the run's cluster folder: keys, secrets, store, status
	Store       func(dir string) (store.Store, error) // opens the store in Dir
	Listen      string                                // address, e.g. ":4433"
	Coordinator coordinator.Options
	Member      worker.Options
	UploadLimit int64
	WAN         bool
	JoinFor     time.Duration // how long the printed join line is valid
	JoinUses    int           // −1: any number
	Socket      SocketFunc    // nil: transport.Socket
}

// SocketFunc opens a UDP socket as transport.Socket does; tests put links of
// their own in its place.
type SocketFunc func(addr string) (conn net.PacketConn, hint string, err error)

func (f SocketFunc) open(addr string) (net.PacketConn, string, error) {
	if f == nil {
		f = transport.Socket
	}
	return f(addr)
}

// Host is machine 1: the coordinator and a worker in one process, on one socket.
type Host struct {
	Coordinator *coordinator.Coordinator
	Member      *worker.Member
	Line        transport.Line // to join with
	Hint        string         // about the socket, "" for none
	ep          *transport.Endpoint
	store       store.Store
	ctx         context.Context // ends with the host
	stop        context.CancelFunc
}

// localWorker is the worker number of machine 1.
const localWorker = 1

// StartHost starts machine 1, whose weights are those before step start.
func StartHost(ctx context.Context, o HostOptions, start int) (*Host, error) {
	h := &Host{}
	h.ctx, h.stop = context.WithCancel(context.WithoutCancel(ctx))
	if err := h.start(ctx, o, start); err != nil {
		h.Close(protocol.End{Text: err.Error()})
		return nil, err
	}
	return h, nil
}

func (h *Host) start(ctx context.Context, o HostOptions, start int) error {
	secrets, err := OpenSecrets(o.Dir)
	if err != nil {
		return err
	}
	ca, err := openCA(filepath.Join(o.Dir, "ca.pem"))
	if err != nil {
		return err
	}
	reset, err := resetKey(filepath.Join(o.Dir, "reset.key"))
	if err != nil {
		return err
	}
	identity, err := ca.NewIdentity(localWorker)
	if err != nil {
		return err
	}
	conn, err := h.lead(ctx, o, start, identity, secrets)
	if err != nil {
		return err
	}
	o.Member.Coordinator, o.Member.Revoked = localAddr(conn.LocalAddr()), h.Coordinator.Revoked
	h.Member = worker.New(o.Member)
	h.ep, err = transport.Open(conn, transport.Options{Identity: identity, Services: h.Member.Services(h.Coordinator), Join: h.policy(ca,
		secrets, o.Coordinator.Log),
		ResetKey: reset, UploadLimit: o.UploadLimit, WAN: o.WAN})
	if err != nil {
		return err
	}
	if _, err = h.Member.Connect(ctx, h.ep); err != nil {
		return err
	}
	h.Line, err = newLine(ca, secrets, conn.LocalAddr(), o.JoinFor, o.JoinUses)
	if err == nil {
		err = rememberAddr(o.Dir, conn.LocalAddr())
	}
	return err
}

// lead opens the store and the socket, which is returned, and starts the coordinator.
func (h *Host) lead(ctx context.Context, o HostOptions, start int, identity *transport.Identity, secrets *Secrets) (net.PacketConn, error) {
	var err error
	if h.store, err = o.Store(o.Dir); err != nil {
		return nil, err
	}
	conn, hint, err := o.Socket.open(o.Listen)
	if err != nil {
		return nil, err
	}
	h.Hint = hint
	c := o.Coordinator
	c.Store, c.Local, c.Port = h.store, localWorker, conn.LocalAddr().(*net.UDPAddr).Port
	c.Revocations, c.Probe = secrets.Revoked, coordinator.ProbeFrom(identity, nil)
	c.Changed = StatusTo(o.Dir)
	if h.Coordinator, err = coordinator.New(ctx, c, start); err != nil {
		conn.Close()
		return nil, err
	}
	return conn, nil
}

// Close ends the run for everybody.
func (h *Host) Close(e protocol.End) {
	if h.Coordinator != nil {
		h.Coordinator.Close(e)
	}
	h.close()
}

// Abandon stops without a word: the machines look for another coordinator.
func (h *Host) Abandon() {
	h.Coordinator.Abandon()
	h.close()
}

func (h *Host) close() {
	h.stop()
	if h.Member != nil && h.ep != nil {
		h.Member.Leave()
	}
	if h.ep != nil {
		h.ep.Close()
	}
	if h.store != nil {
		h.store.Close()
	}
}

// storeLimit is how long the store may take to number a worker.
const storeLimit = 10 * time.Second

// policy admits by the secrets in the run's folder, and numbers the workers in
// the store.
func (h *Host) policy(ca *transport.CA, secrets *Secrets, log *slog.Logger) *transport.JoinPolicy {
	return &transport.JoinPolicy{CA: ca, Secret: secrets.Lookup,
		Admit: func(id string, from net.Addr) (uint32, error) {
			ctx, cancel := context.WithTimeout(h.ctx, storeLimit)
			defer cancel()
			n, err := nextWorker(ctx, h.store)
			if err != nil {
				return 0, err
			}
			return n, secrets.Use(id, n)
		},
		Refused: func(from net.Addr, reason string) { protocol.Logf(log, "a join from %s was refused: %s", from, reason) }}
}

// nextWorker hands out a number that no other worker of the run has had.
func nextWorker(ctx context.Context, s store.Store) (uint32, error) {
	for range 10 {
		b, rev, err := s.Get(ctx, "workers")
		if err != nil {
			return 0, err
		}
		n := uint64(localWorker)
		if rev > 0 {
			if n, err = strconv.ParseUint(string(b), 10, 32); err != nil {
				return 0, err
			}
		}
		n++
		if _, err = s.Put(ctx, "workers", []byte(strconv.FormatUint(n, 10)), rev); err == nil {
			return uint32(n), nil
		} else if !errors.Is(err, store.ErrConflict) {
			return 0, err
		}
	}
	return 0, errors.New("too many machines join at once: try again")
}

// openCA reads the run's authority, or makes it.
func openCA(path string) (*transport.CA, error) {
	b, err := os.ReadFile(path)
	if err == nil {
		return transport.ParseCA(b)
	}
	if !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	ca, err := transport.NewCA()
	if err != nil {
		return nil, err
	}
	return ca, writeFile(path, ca.MarshalPEM())
}

// resetKey reads the key of stateless resets, or makes it.
func resetKey(path string) (key [32]byte, err error) {
	b, err := os.ReadFile(path)
	if err == nil && len(b) == len(key) {
		return [32]byte(b), nil
	}
	rand.Read(key[:])
	return key, writeFile(path, key[:])
}

// newLine makes a join line for a coordinator that listens on addr.
func newLine(ca *transport.CA, s *Secrets, addr net.Addr, valid time.Duration, uses int) (transport.Line, error) {
	id, value, expires, err := s.New(valid, uses)
	return transport.Line{Addrs: reachable(addr), CA: transport.Fingerprint(ca.Certificate()), ID: id, Secret: value, Expires: expires}, err
}

// addrFile remembers where the coordinator listens, for Invite.
const addrFile = "listen.json"

func rememberAddr(dir string, addr net.Addr) error {
	b, _ := json.Marshal(addr.String())
	return writeFile(filepath.Join(dir, addrFile), b)
}

// Invite makes another join line for the run whose cluster folder is dir.
func Invite(dir string, valid time.Duration, uses int) (transport.Line, error) {
	b, err := os.ReadFile(filepath.Join(dir, addrFile))
	if err != nil {
		return transport.Line{}, fmt.Errorf("the run has no coordinator: %w\n  fix: the folder (runs/NAME) of a run that concord train --listen "+
			"has started", err)
	}
	var listen string
	if err := json.Unmarshal(b, &listen); err != nil {
		return transport.Line{}, err
	}
	addr, err := net.ResolveUDPAddr("udp", listen)
	if err != nil {
		return transport.Line{}, err
	}
	ca, err := openCA(filepath.Join(dir, "ca.pem"))
	if err != nil {
		return transport.Line{}, err
	}
	s, err := OpenSecrets(dir)
	if err != nil {
		return transport.Line{}, err
	}
	return newLine(ca, s, addr, valid, uses)
}

// localAddr is where this machine dials itself.
func localAddr(addr net.Addr) string {
	u := addr.(*net.UDPAddr)
	if u.IP.IsUnspecified() {
		return net.JoinHostPort("127.0.0.1", strconv.Itoa(u.Port))
	}
	return u.String()
}

// reachable lists where others may find a socket: the addresses of the machine,
// IPv4 first, and last the one that only this machine knows.
func reachable(addr net.Addr) []string {
	u := addr.(*net.UDPAddr)
	if !u.IP.IsUnspecified() {
		return []string{u.String()}
	}
	var four, six []string
	addrs, _ := net.InterfaceAddrs()
	for _, a := range addrs {
		n, ok := a.(*net.IPNet)
		if !ok || n.IP.IsLoopback() || n.IP.IsLinkLocalUnicast() {
			continue
		}
		x := net.JoinHostPort(n.IP.String(), strconv.Itoa(u.Port))
		if n.IP.To4() != nil {
			four = append(four, x)
		} else {
			six = append(six, x)
		}
	}
	return append(append(four, six...), net.JoinHostPort("127.0.0.1", strconv.Itoa(u.Port)))
}
