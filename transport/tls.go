package transport

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
)

const (
	alpnRun  = "concord/1"
	alpnJoin = "concord-join/1"
)

func pool(ca *x509.Certificate) *x509.CertPool {
	p := x509.NewCertPool()
	p.AddCert(ca)
	return p
}

// serverTLS asks for the peer's certificate, but not for joining, where the
// secret of the join line takes its place.
func (e *Endpoint) serverTLS() *tls.Config {
	base := &tls.Config{MinVersion: tls.VersionTLS13, Certificates: []tls.Certificate{e.opt.Identity.cert}, SessionTicketsDisabled: true}
	run := base.Clone()
	run.NextProtos = []string{alpnRun}
	run.ClientAuth, run.ClientCAs = tls.RequireAndVerifyClientCert, pool(e.opt.Identity.CA)
	run.VerifyConnection = e.verify
	join := base.Clone()
	join.NextProtos = []string{alpnJoin}
	base.GetConfigForClient = func(hello *tls.ClientHelloInfo) (*tls.Config, error) {
		if len(hello.SupportedProtos) == 1 && hello.SupportedProtos[0] == alpnJoin && e.opt.Join != nil {
			return join, nil
		}
		return run, nil
	}
	base.NextProtos = []string{alpnRun, alpnJoin}
	return base
}

// clientTLS proves this machine and wants a machine of the same run.
func (e *Endpoint) clientTLS() *tls.Config {
	return &tls.Config{MinVersion: tls.VersionTLS13, Certificates: []tls.Certificate{e.opt.Identity.cert}, RootCAs: pool(e.opt.Identity.CA),
		ServerName: certName, NextProtos: []string{alpnRun}, SessionTicketsDisabled: true, VerifyConnection: e.verify}
}

// verify checks a peer whose certificate chain holds.
func (e *Endpoint) verify(cs tls.ConnectionState) error {
	claims, err := peerClaims(cs)
	if err != nil {
		return err
	}
	if claims.Run != e.opt.Identity.Run {
		return fmt.Errorf("%w: the peer is of another run", ErrProof)
	}
	if e.opt.Revoked != nil && e.opt.Revoked(claims.Worker) {
		return fmt.Errorf("%w: worker %d is revoked", ErrProof, claims.Worker)
	}
	return nil
}

func peerClaims(cs tls.ConnectionState) (Claims, error) {
	if len(cs.PeerCertificates) == 0 {
		return Claims{}, fmt.Errorf("%w: no certificate", ErrProof)
	}
	return claimsOf(cs.PeerCertificates[0])
}

// pinned is the TLS configuration of a machine that knows of the run only the
// hash of its CA's key: the server must show a certificate of that CA.
func pinned(fingerprint [32]byte, ca **x509.Certificate) *tls.Config {
	return &tls.Config{MinVersion: tls.VersionTLS13, NextProtos: []string{alpnJoin}, ServerName: certName, SessionTicketsDisabled: true,
		InsecureSkipVerify: true, // by host names and the system's CAs; VerifyConnection verifies by the pinned CA
		VerifyConnection: func(cs tls.ConnectionState) error {
			if len(cs.PeerCertificates) < 2 {
				return fmt.Errorf("%w: the coordinator shows no certificate authority", ErrProof)
			}
			root := cs.PeerCertificates[len(cs.PeerCertificates)-1]
			if Fingerprint(root) != fingerprint {
				return fmt.Errorf("%w: the machine at this address is not the coordinator that the join line was made by", ErrProof)
			}
			_, err := cs.PeerCertificates[0].Verify(x509.VerifyOptions{Roots: pool(root), DNSName: certName})
			if err != nil {
				return clockHint(err)
			}
			*ca = root
			return nil
		}}
}

// clockHint says that a certificate out of its time is mostly a wrong clock.
func clockHint(err error) error {
	if bad := (x509.CertificateInvalidError{}); errors.As(err, &bad) && bad.Reason == x509.Expired {
		return fmt.Errorf("%w: %w\n  fix: check this machine's clock", ErrProof, err)
	}
	return fmt.Errorf("%w: %w", ErrProof, err)
}
