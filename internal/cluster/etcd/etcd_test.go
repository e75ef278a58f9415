package etcd

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.etcd.io/etcd/client/pkg/v3/transport"
	clientv3 "go.etcd.io/etcd/client/v3"
	"go.etcd.io/etcd/server/v3/embed"
	"go.uber.org/zap"

	"concord/internal/cluster/etcd/etcdtest"
	"concord/internal/cluster/store"
	"concord/internal/cluster/store/storetest"
)

// With one of three members gone nothing changes; with two, requests fail in
// bounded time and change nothing; when one is back all goes on (reference case 9).
func TestMembersAreLost(t *testing.T) {
	t.Parallel()
	m := etcdtest.Start(t, 3, "http", nil)
	s, err := Open(m.Endpoints(), "r")
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	storetest.Conform(t, s)
	rev, err := s.Put(t.Context(), "k", []byte("1"), 0)
	if err != nil {
		t.Fatal(err)
	}
	m.Stop(0)
	if rev, err = persistent(t, s, "2", rev); err != nil {
		t.Fatal("with two of three:", err)
	}
	m.Stop(1)
	began := time.Now()
	if _, err := s.Put(t.Context(), "k", []byte("3"), rev); err == nil {
		t.Error("one of three members commits")
	} else if time.Since(began) > 2*opTimeout {
		t.Errorf("it takes %v to say %v", time.Since(began), err)
	}
	m.Restart(0)
	if _, err = persistent(t, s, "3", rev); err != nil {
		t.Fatal("with two of three again:", err)
	}
	if v, _, err := s.Get(t.Context(), "k"); string(v) != "3" || err != nil {
		t.Errorf("%q, %v", v, err)
	}
}

// An outage that outlasts the leases: whoever led is told, an election that a
// candidate wins with a lease that ran out does not count, and whoever campaigns again
// leads.
func TestElectionOutlivesOutage(t *testing.T) {
	t.Parallel()
	m := etcdtest.Start(t, 1, "http", nil)
	open := func() store.Store {
		s, err := Open(m.Endpoints(), "r")
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { s.Close() })
		return s
	}
	a, b := open(), open()
	lost, resign, err := a.Lead(t.Context(), []byte("a"))
	if err != nil {
		t.Fatal(err)
	}
	type won struct {
		lost   <-chan struct{}
		resign func()
	}
	elected := make(chan won, 1)
	go func() {
		for t.Context().Err() == nil {
			lost, resign, err := b.Lead(t.Context(), []byte("b"))
			if err == nil {
				elected <- won{lost, resign}
				return
			}
			t.Logf("campaign: %v", err)
			time.Sleep(100 * time.Millisecond)
		}
	}()
	time.Sleep(500 * time.Millisecond) // b has its key
	m.Stop(0)
	select {
	case <-lost:
	case <-time.After(3 * leaseSeconds * time.Second):
		t.Fatal("the leader was not told of the outage")
	}
	time.Sleep(time.Second)
	m.Restart(0)
	resign()
	select {
	case w := <-elected:
		defer w.resign()
		select {
		case <-w.lost:
			t.Fatal("elected with a lease that had run out")
		case <-time.After(leaseSeconds * time.Second / 2):
		}
	case <-time.After(6 * leaseSeconds * time.Second):
		t.Fatal("nobody is elected after the outage")
	}
	if v, err := b.Leader(t.Context()); string(v) != "b" || err != nil {
		t.Errorf("leader %q, %v", v, err)
	}
}

// persistent puts as a coordinator does: again and again, until there is an answer;
// an attempt whose answer was lost may have been heard.
func persistent(t *testing.T, s store.Store, value string, rev int64) (int64, error) {
	var err error
	for began := time.Now(); time.Since(began) < 30*time.Second; time.Sleep(200 * time.Millisecond) {
		var now int64
		if now, err = s.Put(t.Context(), "k", []byte(value), rev); err == nil {
			return now, nil
		}
		if v, at, e := s.Get(t.Context(), "k"); e == nil && string(v) == value {
			return at, nil
		}
	}
	return 0, err
}

// A cluster that wants certificates and a password is told what the environment
// says; without, nothing is to be had from it.
func TestSecuredCluster(t *testing.T) {
	dir := t.TempDir()
	ca, cert, key := filepath.Join(dir, "ca"), filepath.Join(dir, "cert"), filepath.Join(dir, "key")
	certificate(t, ca, cert, key)
	m := etcdtest.Start(t, 1, "https", func(c *embed.Config) {
		c.BcryptCost = 4 // the least: the usual cost is 64 times as much work, within a request's 5 s
		c.ClientTLSInfo = transport.TLSInfo{CertFile: cert, KeyFile: key, TrustedCAFile: ca, ClientCertAuth: true}
	})
	if _, err := Open(m.Endpoints(), "r"); err == nil {
		t.Fatal("without certificates")
	}
	t.Setenv("ETCDCTL_CACERT", ca)
	t.Setenv("ETCDCTL_CERT", cert)
	t.Setenv("ETCDCTL_KEY", key)
	config, err := clientTLS()
	if err != nil {
		t.Fatal(err)
	}
	withPassword(t, m.Endpoints(), config)
	if _, err := Open(m.Endpoints(), "r"); err == nil {
		t.Fatal("without a password")
	}
	t.Setenv("ETCDCTL_USER", "root:secret")
	s, err := Open(m.Endpoints(), "r")
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if _, err := s.Put(t.Context(), "k", []byte("1"), 0); err != nil {
		t.Error(err)
	}
	t.Setenv("ETCDCTL_CACERT", key)
	if _, err := Open(m.Endpoints(), "r"); err == nil || !strings.Contains(err.Error(), "ETCDCTL_CACERT") {
		t.Errorf("a file without certificates: %v", err)
	}
}

// withPassword has the cluster ask for root's password.
func withPassword(t *testing.T, endpoints []string, config *tls.Config) {
	c, err := clientv3.New(clientv3.Config{Endpoints: endpoints, TLS: config, Logger: zap.NewNop(), DialTimeout: opTimeout})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	ctx := t.Context()
	if _, err = c.UserAdd(ctx, "root", "secret"); err == nil {
		if _, err = c.RoleAdd(ctx, "root"); err == nil {
			if _, err = c.UserGrantRole(ctx, "root", "root"); err == nil {
				_, err = c.AuthEnable(ctx)
			}
		}
	}
	if err != nil {
		t.Fatal(err)
	}
}

// certificate writes an authority's certificate, and one of 127.0.0.1 with its key.
func certificate(t *testing.T, caPath, certPath, keyPath string) {
	write := func(path, kind string, der []byte) {
		if err := os.WriteFile(path, pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	must := func(b []byte, err error) []byte {
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	root, _ := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	own, _ := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	a := &x509.Certificate{SerialNumber: big.NewInt(1), NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign}
	c := &x509.Certificate{SerialNumber: big.NewInt(2), NotBefore: a.NotBefore, NotAfter: a.NotAfter,
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		KeyUsage:    x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth}}
	write(caPath, "CERTIFICATE", must(x509.CreateCertificate(rand.Reader, a, a, &root.PublicKey, root)))
	write(certPath, "CERTIFICATE", must(x509.CreateCertificate(rand.Reader, c, a, &own.PublicKey, root)))
	write(keyPath, "EC PRIVATE KEY", must(x509.MarshalECPrivateKey(own)))
}
