// Package etcd is the store of equal machines: an etcd cluster, spoken to by its
// client. Only cmd/concord imports it, for --coordinator.
package etcd

import (
	"cmp"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"os"
	"strings"
	"sync"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.etcd.io/etcd/client/v3/concurrency"
	"go.uber.org/zap"
	"google.golang.org/grpc"
	"google.golang.org/grpc/backoff"

	"concord/internal/cluster/store"
)

// leaseSeconds is how long a leader that died keeps others waiting.
const leaseSeconds = 5

// opTimeout bounds a single request: without a quorum etcd does not answer.
const opTimeout = 5 * time.Second

// redial is how long the client waits between attempts to connect: gRPC's two minutes
// would prolong an outage by as much.
var redial = backoff.Config{BaseDelay: 200 * time.Millisecond, Multiplier: 1.6, Jitter: 0.2, MaxDelay: 2 * time.Second}

// etcd is a Store in an etcd cluster, under a prefix.
type etcd struct {
	client *clientv3.Client
	prefix string
}

// Open connects to an etcd cluster; run keeps the runs in it apart. The
// environment says how, in the variables of etcdctl: ETCDCTL_USER is name:password,
// and for addresses that begin with https ETCDCTL_CACERT, ETCDCTL_CERT and
// ETCDCTL_KEY are files of the cluster's authority and of this client.
func Open(endpoints []string, run string) (store.Store, error) {
	config := clientv3.Config{Endpoints: endpoints, DialTimeout: opTimeout, Logger: zap.NewNop(), DialOptions: []grpc.DialOption{
		grpc.WithConnectParams(grpc.ConnectParams{Backoff: redial, MinConnectTimeout: opTimeout})}}
	if user := os.Getenv("ETCDCTL_USER"); user != "" {
		config.Username, config.Password, _ = strings.Cut(user, ":")
	}
	if strings.HasPrefix(endpoints[0], "https://") {
		var err error
		if config.TLS, err = clientTLS(); err != nil {
			return nil, fmt.Errorf("store: etcd at %v: %w", endpoints, err)
		}
	}
	c, err := clientv3.New(config)
	if err != nil {
		return nil, fmt.Errorf("store: etcd at %v: %w", endpoints, err)
	}
	s := &etcd{client: c, prefix: "/concord/" + run + "/"}
	if _, _, err := s.Get(context.Background(), "term"); err != nil {
		c.Close()
		return nil, fmt.Errorf("store: etcd at %v does not answer: %w", endpoints, err)
	}
	return s, nil
}

// clientTLS has the certificates of the environment; the system's authorities
// where it names none.
func clientTLS() (*tls.Config, error) {
	c := &tls.Config{MinVersion: tls.VersionTLS12}
	if path := os.Getenv("ETCDCTL_CACERT"); path != "" {
		b, err := os.ReadFile(path)
		if err != nil {
			return nil, fmt.Errorf("ETCDCTL_CACERT: %w", err)
		}
		c.RootCAs = x509.NewCertPool()
		if !c.RootCAs.AppendCertsFromPEM(b) {
			return nil, fmt.Errorf("ETCDCTL_CACERT: %s holds no certificate", path)
		}
	}
	if cert, key := os.Getenv("ETCDCTL_CERT"), os.Getenv("ETCDCTL_KEY"); cert != "" {
		pair, err := tls.LoadX509KeyPair(cert, key)
		if err != nil {
			return nil, fmt.Errorf("ETCDCTL_CERT and ETCDCTL_KEY: %w", err)
		}
		c.Certificates = []tls.Certificate{pair}
	}
	return c, nil
}

func (s *etcd) Get(ctx context.Context, key string) ([]byte, int64, error) {
	ctx, cancel := context.WithTimeout(ctx, opTimeout)
	defer cancel()
	r, err := s.client.Get(ctx, s.prefix+key)
	if err != nil || len(r.Kvs) == 0 {
		return nil, 0, err
	}
	return r.Kvs[0].Value, r.Kvs[0].ModRevision, nil
}

func (s *etcd) Put(ctx context.Context, key string, value []byte, rev int64, guards ...store.Guard) (int64, error) {
	ctx, cancel := context.WithTimeout(ctx, opTimeout)
	defer cancel()
	var conds []clientv3.Cmp
	for _, g := range append(guards, store.Guard{Key: key, Rev: rev}) {
		conds = append(conds, clientv3.Compare(clientv3.ModRevision(s.prefix+g.Key), "=", g.Rev))
	}
	r, err := s.client.Txn(ctx).If(conds...).Then(clientv3.OpPut(s.prefix+key, string(value))).Commit()
	switch {
	case err != nil:
		return 0, err
	case !r.Succeeded:
		return 0, store.ErrConflict
	}
	return r.Header.Revision, nil
}

func (s *etcd) List(ctx context.Context, prefix string) (map[string][]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, opTimeout)
	defer cancel()
	r, err := s.client.Get(ctx, s.prefix+prefix, clientv3.WithPrefix())
	if err != nil {
		return nil, err
	}
	out := map[string][]byte{}
	for _, kv := range r.Kvs {
		out[string(kv.Key)[len(s.prefix):]] = kv.Value
	}
	return out, nil
}

func (s *etcd) Delete(ctx context.Context, key string) error {
	ctx, cancel := context.WithTimeout(ctx, opTimeout)
	defer cancel()
	_, err := s.client.Delete(ctx, s.prefix+key)
	return err
}

// errLease says that a candidate's lease ran out before it was elected.
var errLease = errors.New("the lease ran out while waiting: etcd was not reached for a while")

// Lead implements store.Store. A candidate whose lease ran out is none, even where
// etcd has lost everybody else's key too: it returns an error, and the caller
// campaigns again.
func (s *etcd) Lead(ctx context.Context, value []byte) (<-chan struct{}, func(), error) {
	session, err := s.session(ctx)
	if err != nil {
		return nil, nil, fmt.Errorf("store: lease: %w", err)
	}
	resign := sync.OnceFunc(func() { session.Close() }) // revokes the lease
	if err := s.campaign(ctx, session, value); err != nil {
		resign()
		return nil, nil, err
	}
	return session.Done(), resign, nil
}

// session takes a lease and keeps it alive.
func (s *etcd) session(ctx context.Context) (*concurrency.Session, error) {
	ctx, cancel := context.WithTimeout(ctx, opTimeout)
	defer cancel()
	lease, err := s.client.Grant(ctx, leaseSeconds)
	if err != nil {
		return nil, err
	}
	return concurrency.NewSession(s.client, concurrency.WithLease(lease.ID))
}

// campaign waits to be elected, and makes sure that etcd holds this candidate's key.
func (s *etcd) campaign(ctx context.Context, session *concurrency.Session, value []byte) error {
	waiting, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	go func() {
		select {
		case <-session.Done():
			cancel(errLease)
		case <-waiting.Done():
		}
	}()
	e := concurrency.NewElection(session, s.prefix+"leader")
	if err := e.Campaign(waiting, string(value)); err != nil {
		return cmp.Or(context.Cause(waiting), err)
	}
	checking, stop := context.WithTimeout(waiting, opTimeout)
	defer stop()
	r, err := s.client.Get(checking, e.Key())
	if err == nil && (len(r.Kvs) == 0 || r.Kvs[0].CreateRevision != e.Rev()) {
		err = errLease
	}
	return err
}

func (s *etcd) Leader(ctx context.Context) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, opTimeout)
	defer cancel()
	r, err := s.client.Get(ctx, s.prefix+"leader", clientv3.WithFirstCreate()...)
	if err != nil || len(r.Kvs) == 0 {
		return nil, err
	}
	return r.Kvs[0].Value, nil
}

func (s *etcd) Close() error {
	err := s.client.Close()
	if errors.Is(err, context.Canceled) {
		return nil
	}
	return err
}

// Parse reads "etcd://a:2379,b:2379"; with etcds:// the cluster is spoken to over
// TLS.
func Parse(s string) ([]string, error) {
	scheme, hosts, ok := strings.Cut(s, "://")
	to := map[string]string{"etcd": "http://", "etcds": "https://"}[scheme]
	if !ok || to == "" || hosts == "" {
		return nil, fmt.Errorf("%q is not of the form etcd://HOST:PORT,HOST:PORT,… (etcds:// for TLS)", s)
	}
	var out []string
	for _, h := range strings.Split(hosts, ",") {
		if _, _, err := net.SplitHostPort(h); err != nil {
			return nil, fmt.Errorf("%q: %w", h, err)
		}
		out = append(out, to+h)
	}
	return out, nil
}
