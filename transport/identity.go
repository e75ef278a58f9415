package transport

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"net/url"
	"strconv"
	"strings"
	"time"
)

// RunID names a run. It is random and made with the run's CA.
type RunID [16]byte

func (r RunID) String() string { return hex.EncodeToString(r[:]) }

// Claims are the statements of a peer's certificate.
type Claims struct {
	Run    RunID
	Worker uint32
}

func (c Claims) uri() *url.URL {
	return &url.URL{Scheme: "concord", Host: "run", Path: fmt.Sprintf("/%s/worker/%d", c.Run, c.Worker)}
}

// certName is the DNS name of every certificate: the CA, not a host name, says
// a peer's identity, as machines have no stable names.
const certName = "concord"

// The validity of certificates. A machine's clock may be a day slow.
const (
	caValidity   = 10 * 365 * 24 * time.Hour
	certValidity = 90 * 24 * time.Hour
	clockSlack   = 24 * time.Hour
)

// CA is the certificate authority of one run.
type CA struct {
	Run  RunID
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
}

// Identity is a machine's proof of itself.
type Identity struct {
	Claims
	CA   *x509.Certificate
	cert tls.Certificate
}

// NewCA makes a run's authority.
func NewCA() (*CA, error) {
	var run RunID
	rand.Read(run[:])
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	t := &x509.Certificate{SerialNumber: serial(), Subject: pkix.Name{CommonName: "concord run " + run.String()},
		NotBefore: time.Now().Add(-clockSlack), NotAfter: time.Now().Add(caValidity),
		IsCA: true, BasicConstraintsValid: true, MaxPathLenZero: true, KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageDigitalSignature}
	der, err := x509.CreateCertificate(rand.Reader, t, t, &key.PublicKey, key)
	if err != nil {
		return nil, err
	}
	cert, err := x509.ParseCertificate(der)
	return &CA{Run: run, cert: cert, key: key}, err
}

func serial() *big.Int {
	b := make([]byte, 16)
	rand.Read(b)
	return new(big.Int).SetBytes(b)
}

// Expires is when the certificate is worth nothing any more.
func (id *Identity) Expires() time.Time { return id.cert.Leaf.NotAfter }

// MarshalPEM returns the certificate and the secret key.
func (ca *CA) MarshalPEM() []byte { return appendKey(pemCert(ca.cert.Raw), ca.key) }

// ParseCA reads the text of CA.MarshalPEM.
func ParseCA(b []byte) (*CA, error) {
	certs, key, err := parsePEM(b)
	if err != nil {
		return nil, err
	}
	name, ok := strings.CutPrefix(certs[0].Subject.CommonName, "concord run ")
	run, err := parseRun(name)
	if !ok || err != nil || !certs[0].IsCA {
		return nil, errors.New("transport: not the certificate authority of a run")
	}
	return &CA{Run: run, cert: certs[0], key: key}, nil
}

// Fingerprint is the hash of a CA's public key, which a join line carries.
func Fingerprint(ca *x509.Certificate) [32]byte { return sha256.Sum256(ca.RawSubjectPublicKeyInfo) }

// Certificate is the CA's own.
func (ca *CA) Certificate() *x509.Certificate { return ca.cert }

// NewIdentity makes a key and a certificate for a worker of this process.
func (ca *CA) NewIdentity(worker uint32) (*Identity, error) {
	key, csr, err := newRequest()
	if err != nil {
		return nil, err
	}
	der, err := ca.sign(csr, worker)
	if err != nil {
		return nil, err
	}
	return newIdentity(der, ca.cert, key)
}

// newRequest makes a key and a request for a certificate.
func newRequest() (*ecdsa.PrivateKey, []byte, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, nil, err
	}
	csr, err := x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{}, key)
	return key, csr, err
}

// sign certifies the key of a request as worker's. Nothing else of the request
// is taken over.
func (ca *CA) sign(csr []byte, worker uint32) ([]byte, error) {
	req, err := x509.ParseCertificateRequest(csr)
	if err == nil {
		err = req.CheckSignature()
	}
	if err != nil {
		return nil, fmt.Errorf("%w: certificate request: %w", ErrProof, err)
	}
	claims := Claims{Run: ca.Run, Worker: worker}
	t := &x509.Certificate{SerialNumber: serial(), Subject: pkix.Name{CommonName: fmt.Sprintf("worker %d", worker)},
		NotBefore: time.Now().Add(-clockSlack), NotAfter: time.Now().Add(certValidity),
		DNSNames: []string{certName}, URIs: []*url.URL{claims.uri()},
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth}}
	return x509.CreateCertificate(rand.Reader, t, ca.cert, req.PublicKey, ca.key)
}

func newIdentity(der []byte, ca *x509.Certificate, key *ecdsa.PrivateKey) (*Identity, error) {
	leaf, err := x509.ParseCertificate(der)
	if err != nil {
		return nil, err
	}
	claims, err := claimsOf(leaf)
	if err != nil {
		return nil, err
	}
	return &Identity{Claims: claims, CA: ca, cert: tls.Certificate{Certificate: [][]byte{der, ca.Raw}, PrivateKey: key, Leaf: leaf}}, nil
}

// MarshalPEM returns the certificate, the CA's and the secret key.
func (id *Identity) MarshalPEM() []byte {
	return appendKey(append(pemCert(id.cert.Certificate[0]), pemCert(id.CA.Raw)...), id.cert.PrivateKey.(*ecdsa.PrivateKey))
}

// ParseIdentity reads the text of Identity.MarshalPEM.
func ParseIdentity(b []byte) (*Identity, error) {
	certs, key, err := parsePEM(b)
	if err == nil && len(certs) != 2 {
		err = errors.New("transport: an identity holds two certificates")
	}
	if err != nil {
		return nil, err
	}
	return newIdentity(certs[0].Raw, certs[1], key)
}

// claimsOf reads the claims of a verified certificate.
func claimsOf(leaf *x509.Certificate) (Claims, error) {
	var c Claims
	for _, u := range leaf.URIs {
		parts := strings.Split(strings.Trim(u.Path, "/"), "/")
		if u.Scheme != "concord" || len(parts) != 3 || parts[1] != "worker" {
			continue
		}
		run, err := parseRun(parts[0])
		n, err2 := strconv.ParseUint(parts[2], 10, 32)
		if err == nil && err2 == nil {
			return Claims{Run: run, Worker: uint32(n)}, nil
		}
	}
	return c, fmt.Errorf("%w: the certificate names no worker", ErrProof)
}

func parseRun(s string) (r RunID, err error) {
	b, err := hex.DecodeString(s)
	if err != nil || len(b) != len(r) {
		return r, fmt.Errorf("transport: %q is not a run's id", s)
	}
	return RunID(b), nil
}

func pemCert(der []byte) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
}

func appendKey(b []byte, key *ecdsa.PrivateKey) []byte {
	der, err := x509.MarshalECPrivateKey(key)
	if err != nil {
		panic("transport: a P-256 key cannot be marshalled: " + err.Error())
	}
	return append(b, pem.EncodeToMemory(&pem.Block{Type: "EC PRIVATE KEY", Bytes: der})...)
}

func parsePEM(b []byte) (certs []*x509.Certificate, key *ecdsa.PrivateKey, err error) {
	for {
		var block *pem.Block
		if block, b = pem.Decode(b); block == nil {
			break
		}
		if block.Type == "CERTIFICATE" {
			c, err := x509.ParseCertificate(block.Bytes)
			if err != nil {
				return nil, nil, err
			}
			certs = append(certs, c)
		} else if key, err = x509.ParseECPrivateKey(block.Bytes); err != nil {
			return nil, nil, err
		}
	}
	if len(certs) == 0 || key == nil {
		return nil, nil, errors.New("transport: no certificate and key")
	}
	return certs, key, nil
}
