package transport

import (
	"encoding/json"
	"errors"
	"io"
	"testing"
	"time"
)

// waiting is a service whose Fetch waits for something that does not come.
type waiting struct {
	*service
	asked, release chan struct{}
}

func (w *waiting) Fetch(*Conn, json.RawMessage) (int64, io.ReadCloser, error) {
	close(w.asked)
	<-w.release
	return 0, nil, errors.New("nothing")
}

// A connection to a peer that is gone ends at once, whatever its handlers are doing, and
// no transfer is given to it.
func TestConnectionEndsBeforeItsHandlers(t *testing.T) {
	ca := newCA(t)
	s := &waiting{newService(), make(chan struct{}), make(chan struct{})}
	defer close(s.release)
	a, b := open(t, ca, 1, s, nil), open(t, ca, 2, newService(), nil)
	c := dial(t, b, a, newService())
	go c.Fetch(t.Context(), "x", time.Minute, func(int64) (io.Writer, error) { return io.Discard, nil })
	<-s.asked
	var p Peer
	p.Add(when(s.service, func() *Conn { return s.conns[0] }))
	if n := len(p.Conns()); n != 1 {
		t.Fatalf("%d connections to a peer that is there", n)
	}
	c.Close("gone")
	select {
	case <-s.gone:
	case <-time.After(3 * time.Second):
		t.Fatal("the connection is in use while its handler waits")
	}
	if n := len(p.Conns()); n != 0 {
		t.Errorf("%d connections to a peer that is gone", n)
	}
}
