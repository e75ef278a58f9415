package transport

import (
	"bytes"
	"encoding/hex"
	"errors"
	"math"
	"os"
	"slices"
	"strings"
	"testing"
)

// example is the transfer that docs/wire.md shows.
var example = Header{Kind: Rows, Codec: BF16, Run: [16]byte{0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15}, Step: 41,
	Epoch: 4097, Bucket: 3, Row: 2, Attempt: 1, Sender: 7,
	Elements: 4, Payload: 8, Tokens: 315, Loss: 812.5, Norm2: 0.25, Meta: 5}

// wireDoc is docs/wire.md's hexadecimal blocks, without spaces.
func wireDoc(t *testing.T) string {
	t.Helper()
	b, err := os.ReadFile("../docs/wire.md")
	if err != nil {
		t.Fatal(err)
	}
	var out strings.Builder
	in := false
	for line := range strings.Lines(string(b)) {
		if strings.HasPrefix(line, "```") {
			in = !in && strings.HasPrefix(line, "```hex")
			out.WriteByte('\n')
			continue
		}
		if in {
			out.WriteString(strings.Join(strings.Fields(line), ""))
		}
	}
	return out.String()
}

// The bytes on the wire are those that the document shows.
func TestWireIsDocumented(t *testing.T) {
	doc := wireDoc(t)
	var body, message bytes.Buffer
	var sums []byte
	writeBody(&body, []byte("hello"), &sums, func(n int) (int, error) { return n, nil })
	writeMessage(&message, Message{Type: msgFetch, Body: []byte(`"tokenizer.json"`)})
	for name, b := range map[string][]byte{"header": example.Encode(), "body": body.Bytes(), "message": message.Bytes(),
		"bf16": BF16.Encode([]float32{1, -2.5, 1e-3, float32(math.Inf(1))}), "int8": Int8.Encode([]float32{1, -2.54, 0})} {
		if !strings.Contains(doc, hex.EncodeToString(b)) {
			t.Errorf("%s: docs/wire.md does not show %x", name, b)
		}
	}
}

func TestHeaderRoundTrip(t *testing.T) {
	h, err := DecodeHeader(example.Encode())
	if err != nil || h != example {
		t.Errorf("%+v, %v", h, err)
	}
	for i := range HeaderSize {
		b := example.Encode()
		b[i] ^= 0x10
		if _, err := DecodeHeader(b); !errors.Is(err, ErrFrame) {
			t.Errorf("byte %d flipped: %v", i, err)
		}
	}
	if _, err := DecodeHeader(example.Encode()[:95]); !errors.Is(err, ErrFrame) {
		t.Error(err)
	}
}

func TestCodecs(t *testing.T) {
	x := []float32{0, 1, -1, 1.00390625, 1.01171875, 3e38, float32(math.Inf(-1)), 1e-40}
	got := make([]float32, len(x))
	if err := BF16.Decode(got, BF16.Encode(x)); err != nil {
		t.Fatal(err)
	}
	for i, want := range []float32{0, 1, -1, 1, 1.015625, 3.0040553e38, float32(math.Inf(-1)), 9.1835e-41} { // ties to even: down, up
		if d := float64(got[i] - want); got[i] != want && math.Abs(d) > 1e-3*math.Abs(float64(want)) {
			t.Errorf("bf16 of %g is %g, want %g", x[i], got[i], want)
		}
	}
	nan := []float32{math.Float32frombits(0x7f800001)} // a NaN whose bits would be rounded away
	BF16.Decode(nan, BF16.Encode(nan))
	if nan[0] == nan[0] {
		t.Errorf("bf16 of NaN is %g", nan[0])
	}
	long := make([]float32, 600)
	for i := range long {
		long[i] = float32(math.Sin(float64(i))) * float32(i/256+1)
	}
	back := make([]float32, len(long))
	Int8.Decode(back, Int8.Encode(long))
	for i := range long {
		if d := math.Abs(float64(long[i] - back[i])); d > float64(i/256+1)/127/2*1.01 {
			t.Errorf("int8: %g came as %g", long[i], back[i])
		}
	}
	long[300] = float32(math.NaN())
	Int8.Decode(back, Int8.Encode(long))
	if back[299] == back[299] || back[255] != back[255] {
		t.Error("int8: a block with NaN is NaN, and no other")
	}
	for _, c := range []Codec{F32, BF16, Int8} {
		if err := c.Decode(back, make([]byte, c.Size(len(back))-1)); !errors.Is(err, ErrFrame) {
			t.Errorf("%s: a byte too few: %v", c, err)
		}
	}
}

// Values that are not finite are found in their encoded form.
func TestFinite(t *testing.T) {
	for name, c := range codecNames {
		for _, n := range []int{0, 1, 255, 256, 257, 600} {
			x := make([]float32, n)
			for i := range x {
				x[i] = float32(i-300) * 1e30
			}
			if !c.Finite(c.Encode(x)) {
				t.Errorf("%s: %d finite values are not", name, n)
			}
			for _, bad := range []float32{float32(math.NaN()), float32(math.Inf(1)), float32(math.Inf(-1))} {
				for _, at := range []int{0, n / 2, n - 1} {
					if n == 0 {
						continue
					}
					y := slices.Clone(x)
					y[at] = bad
					if c.Finite(c.Encode(y)) {
						t.Errorf("%s: value %d of %d is %v, and is not found", name, at, n, bad)
					}
				}
			}
		}
	}
}
