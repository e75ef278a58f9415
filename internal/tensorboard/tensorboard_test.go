package tensorboard

import (
	"bytes"
	"encoding/hex"
	"errors"
	"math"
	"testing"
	"time"
)

// TestBytes compares with the bytes that TensorBoard's own reader took (tensorboard 2.20,
// EventAccumulator: loss/es = 2.5 at step 7).
func TestBytes(t *testing.T) {
	var b bytes.Buffer
	at := time.Unix(1700000000, 500_000_000)
	w := New(&b, at)
	w.Scalar(at, 7, "loss/es", 2.5)
	w.Scalar(at, 8, "loss/es", math.NaN())
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	const want = "1a00000000000000129bd82d0900002040fc54d94110001a0d627261696e2e4576656e743a32bf8a691d" +
		"1d00000000000000602fdf230900002040fc54d94110072a100a0e0a076c6f73732f657315000020402e70dbd4"
	if got := hex.EncodeToString(b.Bytes()); got != want {
		t.Errorf("%s", got)
	}
}

type full struct{}

func (full) Write([]byte) (int, error) { return 0, errors.New("disk full") }

// TestFull: an error of writing is told at the end.
func TestFull(t *testing.T) {
	w := New(full{}, time.Unix(1, 0))
	for range 10000 {
		w.Scalar(time.Unix(1, 0), 1, "x", 1)
	}
	if err := w.Close(); err == nil {
		t.Error("no error")
	}
}

func TestFileName(t *testing.T) {
	if got := FileName(time.Unix(12, 0), "names8"); got != "events.out.tfevents.12.names8" {
		t.Error(got)
	}
}
