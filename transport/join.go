package transport

import (
	"context"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"errors"
	"fmt"
	"net"
	"strconv"
	"strings"
	"time"
)

// Line is the line that machine 1 prints and a worker joins with: the coordinator's
// addresses, the key that its certificates hang on, and a secret that admits.
type Line struct {
	Addrs   []string // host:port, tried in this order
	CA      [32]byte // Fingerprint
	ID      string   // of the secret
	Secret  []byte
	Expires time.Time // zero: never
}

const linePrefix = "concord1"

// NewSecret makes a secret and its id.
func NewSecret() (id string, secret []byte) {
	b := make([]byte, 16+6)
	rand.Read(b)
	return base64.RawURLEncoding.EncodeToString(b[16:]), b[:16]
}

func (l Line) String() string {
	expires := int64(0)
	if !l.Expires.IsZero() {
		expires = l.Expires.Unix()
	}
	e := base64.RawURLEncoding
	return strings.Join([]string{linePrefix, strings.Join(l.Addrs, ","), e.EncodeToString(l.CA[:]), l.ID, e.EncodeToString(l.Secret),
		strconv.FormatInt(expires, 36)}, "/")
}

// ParseLine reads a join line.
func ParseLine(s string) (Line, error) {
	var l Line
	bad := func(what string) (Line, error) {
		return Line{}, fmt.Errorf("not a join line: %s\n  it is what concord train --listen prints: %s/ADDRESS/…", what, linePrefix)
	}
	parts := strings.Split(strings.TrimSpace(s), "/")
	if len(parts) != 6 || parts[0] != linePrefix {
		return bad(fmt.Sprintf("%d parts; 6, the first %q, are needed", len(parts), linePrefix))
	}
	for _, a := range strings.Split(parts[1], ",") {
		if _, _, err := net.SplitHostPort(a); err != nil {
			return bad(err.Error())
		}
		l.Addrs = append(l.Addrs, a)
	}
	ca, err := base64.RawURLEncoding.DecodeString(parts[2])
	if err != nil || len(ca) != 32 {
		return bad("the hash of the certificate authority is damaged")
	}
	if l.Secret, err = base64.RawURLEncoding.DecodeString(parts[4]); err != nil || len(l.Secret) != 16 || parts[3] == "" ||
		len(parts[3]) > 32 {
		return bad("the secret is damaged")
	}
	at, err := strconv.ParseInt(parts[5], 36, 64)
	if err != nil || at < 0 {
		return bad("the time of expiry is damaged")
	}
	if at > 0 {
		l.Expires = time.Unix(at, 0)
	}
	l.CA, l.ID = [32]byte(ca), parts[3]
	return l, nil
}

// JoinPolicy admits machines that have no certificate yet.
type JoinPolicy struct {
	CA *CA
	// Secret is the secret of an id while it may be used.
	Secret func(id string) ([]byte, bool)
	// Admit gives a machine that proved to know the secret its worker number. It
	// may refuse: the secret was used up meanwhile.
	Admit func(id string, from net.Addr) (worker uint32, err error)
	// Refused is told of every failed attempt.
	Refused func(from net.Addr, reason string)
}

// joinRequest and joinReply are the bodies of the two join messages.
type joinRequest struct {
	ID    string `json:"id"`
	CSR   []byte `json:"csr"`
	Proof []byte `json:"proof"`
}

type joinReply struct {
	Cert []byte `json:"cert"`
	CA   []byte `json:"ca"`
}

// proof binds the secret to this very connection, to the purpose and to the key
// that asks to be certified: recorded, it is worth nothing on another one.
func proof(secret []byte, cs tls.ConnectionState, csr []byte) ([]byte, error) {
	exported, err := cs.ExportKeyingMaterial("EXPORTER-concord-join", nil, 32)
	if err != nil {
		return nil, err
	}
	sum := sha256.Sum256(csr)
	m := hmac.New(sha256.New, secret)
	m.Write(exported)
	m.Write([]byte("worker"))
	m.Write(sum[:])
	return m.Sum(nil), nil
}

// Join asks the coordinator of the line for a certificate. The secret itself is
// never sent, and nothing is before the coordinator has shown the line's CA.
func Join(ctx context.Context, conn net.PacketConn, l Line) (*Identity, string, error) {
	if !l.Expires.IsZero() && time.Now().After(l.Expires) {
		return nil, "", fmt.Errorf("%w: the join line expired at %s by this machine's clock\n  fix: ask machine 1 for a new one: concord "+
			"invite RUN", ErrProof, l.Expires.Format(time.RFC3339))
	}
	var failed []error
	for _, addr := range l.Addrs {
		id, err := join(ctx, conn, addr, l)
		if err == nil {
			return id, addr, nil
		}
		failed = append(failed, fmt.Errorf("%s: %w", addr, err))
		if errors.Is(err, ErrProof) || errors.Is(err, ErrRefused) || ctx.Err() != nil {
			break
		}
	}
	return nil, "", errors.Join(failed...)
}

func join(ctx context.Context, conn net.PacketConn, addr string, l Line) (*Identity, error) {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	var ca *x509.Certificate
	over := dialQUIC(conn, false)
	defer over.Close()
	q, err := connect(ctx, over, addr, pinned(l.CA, &ca))
	if err != nil {
		return nil, proofOf(err)
	}
	defer q.Close(0, "joined")
	key, csr, err := newRequest()
	if err != nil {
		return nil, err
	}
	p, err := proof(l.Secret, q.TLS(), csr)
	if err != nil {
		return nil, err
	}
	s, err := q.OpenStream(ctx)
	if err != nil {
		return nil, err
	}
	s.SetDeadline(time.Now().Add(5 * time.Second))
	if err := writeMessage(s, Pack(msgJoin, joinRequest{ID: l.ID, CSR: csr, Proof: p})); err != nil {
		return nil, err
	}
	m, err := readMessage(s, 64<<10)
	if err != nil {
		return nil, err
	}
	var r joinReply
	if m.Type != msgJoined {
		var why refusal
		m.Unpack(&why)
		return nil, fmt.Errorf("%w: %s", ErrRefused, why.Reason)
	}
	if err := m.Unpack(&r); err != nil {
		return nil, err
	}
	return newIdentity(r.Cert, ca, key)
}

// refusal is the body of msgRefused.
type refusal struct {
	Reason string `json:"reason"`
}

// serveJoin answers one machine that has no certificate. All failures look the
// same from outside.
func (e *Endpoint) serveJoin(ctx context.Context, q session) {
	policy := e.opt.Join
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	s, err := q.AcceptStream(ctx)
	if err != nil {
		q.Close(codeRefused, "")
		return
	}
	go func() { // and no other stream
		if _, err := q.AcceptStream(ctx); err == nil {
			q.Close(codeFrame, "one stream is for joining")
		}
	}()
	s.SetDeadline(time.Now().Add(5 * time.Second))
	reply, err := policy.answer(q, s)
	if err != nil {
		e.refused(q.RemoteAddr(), err.Error())
		writeMessage(s, Pack(msgRefused, refusal{"the join line is not valid (any more): ask machine 1 for a new one with: concord " +
			"invite RUN"}))
	} else {
		writeMessage(s, Pack(msgJoined, reply))
	}
	s.Close()
	select { // the joiner closes, or is closed
	case <-q.Context().Done():
	case <-ctx.Done():
	}
	q.Close(0, "")
}

func (p *JoinPolicy) answer(q session, s stream) (joinReply, error) {
	m, err := readMessage(s, 64<<10)
	if err != nil {
		return joinReply{}, err
	}
	var r joinRequest
	if err := m.Unpack(&r); err != nil || m.Type != msgJoin {
		return joinReply{}, fmt.Errorf("%w: message %d in place of a join request", ErrFrame, m.Type)
	}
	secret, ok := p.Secret(r.ID)
	if !ok {
		secret = make([]byte, 16) // takes the same time as a wrong proof
	}
	want, err := proof(secret, q.TLS(), r.CSR)
	if err != nil {
		return joinReply{}, err
	}
	if !hmac.Equal(want, r.Proof) || !ok {
		return joinReply{}, fmt.Errorf("%w: secret %q is unknown, used up, expired or wrong", ErrProof, r.ID)
	}
	worker, err := p.Admit(r.ID, q.RemoteAddr())
	if err != nil {
		return joinReply{}, err
	}
	der, err := p.CA.sign(r.CSR, worker)
	return joinReply{Cert: der, CA: p.CA.cert.Raw}, err
}
