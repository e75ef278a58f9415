package store

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"sync"
	"time"

	"go.etcd.io/etcd/server/v3/embed"
	"go.etcd.io/etcd/server/v3/etcdserver/api/v3client"
	"go.etcd.io/etcd/server/v3/storage/wal"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
)

// ErrBroken says that an embedded etcd could not go on, as when its disk is full.
// What it has acknowledged is on the disk; another process can open it again.
var ErrBroken = errors.New("the store has stopped")

// room is what must be free on an embedded etcd's disk before anything is put into
// it: more than the next pieces of its log and database take. Without it etcd would
// end in the middle of a write.
const room = 16 << 20

// etcd sets aside two segments of its log; a run's values are some hundred bytes a
// step.
func init() { wal.SegmentSizeBytes = 4 << 20 }

// keepRevisions is how many old values of the keys stay on the disk: none is read.
const keepRevisions = "1000"

// startLimit bounds how long an embedded etcd may take to start.
const startLimit = 20 * time.Second

// embedded is an etcd of one member within this process.
type embedded struct {
	*etcd
	dir string
	end *breakdown
}

// Embedded starts an etcd of one member with its data in dir and no listener
// that others could reach. While less than 16 MB of its disk are free, changes are
// refused and what is there can be read.
func Embedded(dir string) (Store, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	s := &embedded{dir: dir, end: &breakdown{broken: make(chan struct{})}}
	if err := s.space(); err != nil {
		return nil, err
	}
	var server *embed.Etcd
	err := s.end.await(func() (err error) { server, err = embed.StartEtcd(s.config()); return err })
	if err != nil {
		return nil, fmt.Errorf("store: start etcd in %s: %w", dir, err)
	}
	select {
	case <-server.Server.ReadyNotify():
	case err = <-server.Err():
	case <-s.end.broken:
		return nil, s.end.err
	case <-time.After(startLimit):
		err = fmt.Errorf("it is not ready after %v", startLimit)
	}
	if err != nil {
		server.Close()
		return nil, fmt.Errorf("store: etcd in %s: %w", dir, err)
	}
	s.etcd = &etcd{client: v3client.New(server.Server), prefix: "/concord/", stop: server.Close}
	return s, nil
}

func (s *embedded) config() *embed.Config {
	c := embed.NewConfig()
	c.Dir, c.Name, c.LogLevel = filepath.Join(s.dir, "etcd"), "concord", "fatal"
	c.ZapLoggerBuilder = embed.NewZapLoggerBuilder(zap.New(zapcore.NewNopCore(), zap.WithFatalHook(s.end), zap.WithPanicHook(s.end)))
	local := url.URL{Scheme: "http", Host: "127.0.0.1:0"}
	c.ListenPeerUrls, c.AdvertisePeerUrls = []url.URL{local}, []url.URL{local}
	c.ListenClientUrls, c.AdvertiseClientUrls = nil, []url.URL{local}
	c.InitialCluster = c.InitialClusterFromName(c.Name)
	c.AutoCompactionMode, c.AutoCompactionRetention = embed.CompactorModeRevision, keepRevisions
	return c
}

// space is why nothing may be put now, nil if there is room.
func (s *embedded) space() error {
	free, err := freeBytes(s.dir)
	if err != nil || free >= room {
		return nil // what cannot be measured must show itself
	}
	return fmt.Errorf("store: %.1f MB are free in %s, %d MB are needed: make room", float64(free)/1e6, s.dir, room/1_000_000)
}

func (s *embedded) Get(ctx context.Context, key string) ([]byte, int64, error) {
	type found struct {
		value []byte
		rev   int64
	}
	f, err := attempt(s.end, func() (f found, err error) { f.value, f.rev, err = s.etcd.Get(ctx, key); return f, err })
	return f.value, f.rev, err
}

func (s *embedded) Put(ctx context.Context, key string, value []byte, rev int64, guards ...Guard) (int64, error) {
	if err := s.space(); err != nil {
		return 0, err
	}
	return attempt(s.end, func() (int64, error) { return s.etcd.Put(ctx, key, value, rev, guards...) })
}

func (s *embedded) List(ctx context.Context, prefix string) (map[string][]byte, error) {
	return attempt(s.end, func() (map[string][]byte, error) { return s.etcd.List(ctx, prefix) })
}

func (s *embedded) Delete(ctx context.Context, key string) error {
	if err := s.space(); err != nil {
		return err
	}
	return s.end.await(func() error { return s.etcd.Delete(ctx, key) })
}

// Close stops etcd. One that is broken is left as it is, until the process ends.
func (s *embedded) Close() error { return s.end.await(s.etcd.Close) }

// breakdown is what etcd ends in when it cannot write. It would end the process,
// without a word; here only the goroutine that wrote stands still, so that nothing
// is acknowledged that is not on the disk, and all requests fail.
type breakdown struct {
	once   sync.Once
	broken chan struct{}
	err    error // set before broken is closed
}

// OnWrite implements zapcore.CheckWriteHook: it is called for what etcd logs as
// fatal, and does not return.
func (b *breakdown) OnWrite(e *zapcore.CheckedEntry, fields []zapcore.Field) {
	b.once.Do(func() {
		why := e.Message
		for _, f := range fields {
			if err, ok := f.Interface.(error); ok {
				why += ": " + err.Error()
			}
		}
		b.err = fmt.Errorf("%w: %s; nothing that it took is lost; fix: make room on its disk, then resume the run", ErrBroken, why)
		close(b.broken)
	})
	select {}
}

// await is attempt for what has no result.
func (b *breakdown) await(f func() error) error {
	_, err := attempt(b, func() (struct{}, error) { return struct{}{}, f() })
	return err
}

// attempt runs f, and gives up when etcd breaks down: a request may wait for a lock
// of the goroutine that stands still.
func attempt[T any](b *breakdown, f func() (T, error)) (T, error) {
	type result struct {
		value T
		err   error
	}
	var none T
	select {
	case <-b.broken:
		return none, b.err
	default:
	}
	done := make(chan result, 1)
	go func() {
		v, err := f()
		done <- result{v, err}
	}()
	select {
	case r := <-done:
		return r.value, r.err
	case <-b.broken:
		return none, b.err
	}
}
