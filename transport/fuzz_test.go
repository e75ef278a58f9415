package transport

import (
	"bytes"
	"testing"
)

// Whatever bytes come, a header is refused or means what it encodes to.
func FuzzHeader(f *testing.F) {
	f.Add(example.Encode())
	f.Fuzz(func(t *testing.T, b []byte) {
		if h, err := DecodeHeader(b); err == nil && !bytes.Equal(h.Encode(), b) {
			t.Errorf("%x is taken for %+v", b, h)
		}
	})
}

// A message's memory is bounded by the bytes that came, not by what it claims.
func FuzzMessage(f *testing.F) {
	f.Add([]byte{17, 0, 0, 0, 6, '"'})
	f.Fuzz(func(t *testing.T, b []byte) {
		m, err := readMessage(bytes.NewReader(b), MaxMessage)
		if err == nil && len(m.Body) > len(b) {
			t.Errorf("%d bytes from %d", len(m.Body), len(b))
		}
	})
}

func FuzzAnswer(f *testing.F) {
	f.Add([]byte{ansRefuse, 3, 0, 'w', 'h', 'y'})
	f.Fuzz(func(t *testing.T, b []byte) {
		var sum Hash
		readAnswer(bytes.NewReader(b), &sum)
	})
}

func FuzzBody(f *testing.F) {
	f.Add([]byte("hello\x01\x02\x03\x04"), 5)
	f.Fuzz(func(t *testing.T, b []byte, n int) {
		if n >= 0 && n < 1<<20 {
			readBody(bytes.NewReader(b), make([]byte, n), func() {})
		}
	})
}

func FuzzDecode(f *testing.F) {
	f.Add([]byte{1, 2, 3, 4}, 1, uint8(0))
	f.Fuzz(func(t *testing.T, b []byte, n int, c uint8) {
		if n >= 0 && n < 1<<16 && Codec(c).valid() {
			Codec(c).Decode(make([]float32, n), b)
		}
	})
}

func FuzzLine(f *testing.F) {
	f.Add("concord1/127.0.0.1:1/x/y/z/0")
	f.Fuzz(func(t *testing.T, s string) {
		if l, err := ParseLine(s); err == nil {
			if again, err := ParseLine(l.String()); err != nil || again.ID != l.ID {
				t.Errorf("%q reads as %+v and not again", s, l)
			}
		}
	})
}
