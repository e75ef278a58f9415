// Package etcdtest runs etcd clusters within a test. Only tests import it: the
// server is in no binary.
package etcdtest

import (
	"fmt"
	"net/url"
	"strings"
	"testing"

	"concord/internal/freeport"

	"go.etcd.io/etcd/api/v3/etcdserverpb"
	clientv3 "go.etcd.io/etcd/client/v3"
	"go.etcd.io/etcd/server/v3/embed"
	"go.uber.org/zap"
)

// Cluster is an etcd cluster in this process.
type Cluster struct {
	t      *testing.T
	config []*embed.Config
	run    []*embed.Etcd
}

func free(t *testing.T, scheme string) url.URL {
	return url.URL{Scheme: scheme, Host: freeport.Of(t, "tcp")}
}

// Start starts n members that other processes can reach; change, which may be nil,
// may change their settings.
func Start(t *testing.T, n int, scheme string, change func(*embed.Config)) *Cluster {
	t.Helper()
	m := &Cluster{t: t, run: make([]*embed.Etcd, n)}
	var all []string
	for i := range n {
		c := embed.NewConfig()
		peer, client := free(t, "http"), free(t, scheme)
		c.Name, c.Dir, c.ListenPeerUrls, c.AdvertisePeerUrls = fmt.Sprint("m", i), t.TempDir(), []url.URL{peer}, []url.URL{peer}
		c.ListenClientUrls, c.AdvertiseClientUrls = []url.URL{client}, []url.URL{client}
		c.ZapLoggerBuilder = embed.NewZapLoggerBuilder(zap.NewNop())
		if change != nil {
			change(c)
		}
		all = append(all, c.Name+"="+peer.String())
		m.config = append(m.config, c)
	}
	for i, c := range m.config {
		c.InitialCluster = strings.Join(all, ",")
		m.start(i)
	}
	for _, e := range m.run {
		<-e.Server.ReadyNotify()
	}
	t.Cleanup(func() {
		for i := range m.run {
			m.Stop(i)
		}
	})
	return m
}

func (m *Cluster) start(i int) {
	e, err := embed.StartEtcd(m.config[i])
	if err != nil {
		m.t.Fatal(err)
	}
	m.run[i] = e
}

// Stop ends member i as a power failure would as far as others can tell.
func (m *Cluster) Stop(i int) {
	if m.run[i] != nil {
		m.run[i].Close()
		m.run[i] = nil
	}
}

// Restart starts member i, which was stopped, with the data on its disk.
func (m *Cluster) Restart(i int) {
	m.config[i].ClusterState = embed.ClusterStateFlagExisting
	m.start(i)
}

// Endpoints are the addresses for clients.
func (m *Cluster) Endpoints() (out []string) {
	for _, c := range m.config {
		out = append(out, c.ListenClientUrls[0].String())
	}
	return out
}

// Flag is the cluster as concord is told of it.
func (m *Cluster) Flag() string {
	var hosts []string
	for _, c := range m.config {
		hosts = append(hosts, c.ListenClientUrls[0].Host)
	}
	return "etcd://" + strings.Join(hosts, ",")
}

// Delete deletes all keys that begin with prefix, as etcdctl del --prefix does.
func (m *Cluster) Delete(prefix string) {
	m.t.Helper()
	r := &etcdserverpb.DeleteRangeRequest{Key: []byte(prefix), RangeEnd: []byte(clientv3.GetPrefixRangeEnd(prefix))}
	if _, err := m.run[0].Server.DeleteRange(m.t.Context(), r); err != nil {
		m.t.Fatal(err)
	}
}
