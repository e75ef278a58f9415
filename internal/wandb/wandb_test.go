package wandb

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"hash/crc32"
	"math"
	"strings"
	"testing"
	"time"
)

var example = Run{ID: "0123abcd", Project: "concord", Name: "names8", Began: time.Unix(1700000000, 500_000_000),
	Config: map[string]any{"rows": 8, "languages": []string{"es", "fr"}}}

// TestBytes compares with the bytes that wandb's own reader took (wandb 0.31, `wandb leet
// inspect`: the run, its settings, loss/es = 2.5 at step 7, the summary, finished).
func TestBytes(t *testing.T) {
	var b bytes.Buffer
	w := New(&b, &example)
	w.Step(example.Began.Add(3*time.Second/2), 7, map[string]float64{"loss/es": 2.5, "loss/fr": math.NaN(), "loss/de": math.Inf(1)})
	if err := w.Close(true); err != nil {
		t.Fatal(err)
	}
	if got := hex.EncodeToString(b.Bytes()); got != strings.ReplaceAll(golden, "\n", "") {
		t.Errorf("%s", got)
	}
	if got, want := example.Folder()+"/"+example.File(), "offline-run-20231114_221320-0123abcd/run-0123abcd.wandb"; got != want {
		t.Errorf("%s, want %s", got, want)
	}
}

const golden = `
3a572642e1be00bbd59fa71800010801aa01130a110a07636f6e636f72641206302e37302e3031d5837558000108028a01530a083031323361626364
1a07636f6e636f726422270a1912096c616e67756167657382010b5b226573222c226672225d0a0a1204726f77738201013842066e616d6573388a01
0c0880e2cfaa061080cab5ee01a1c2d16e5300010803124f0a1012085f72756e74696d65820103312e350a0b12055f73746570820101370a19120a5f
74696d657374616d7082010a313730303030303030320a0f12076c6f73732f6573820103322e35120208075ddc43654f000108041a4b0a1012085f72
756e74696d65820103312e350a0b12055f73746570820101370a19120a5f74696d657374616d7082010a313730303030303030320a0f12076c6f7373
2f6573820103322e352a94bc9a0500010805920100`

// records reads a log back: the reader of LevelDB's format, which checks framing and sums.
func records(t *testing.T, b []byte) (all [][]byte) {
	t.Helper()
	if !bytes.HasPrefix(b, []byte(fileHeader)) {
		t.Fatalf("the header is %q", b[:headSize])
	}
	var now []byte
	open := false
	for at := headSize; at < len(b); {
		if left := blockSize - at%blockSize; left < headSize {
			if len(bytes.Trim(b[at:at+left], "\x00")) > 0 {
				t.Fatalf("the end of the block at %d is not empty", at)
			}
			at += left
			continue
		}
		n, kind := int(binary.LittleEndian.Uint16(b[at+4:])), b[at+6]
		if at%blockSize+headSize+n > blockSize {
			t.Fatalf("the record at %d crosses its block", at)
		}
		if want := binary.LittleEndian.Uint32(b[at:]); crc32.ChecksumIEEE(b[at+6:at+headSize+n]) != want {
			t.Fatalf("the check sum at %d is wrong", at)
		}
		if begins := kind == whole || kind == first; begins == open || kind < whole || kind > final {
			t.Fatalf("a record of type %d at %d", kind, at)
		}
		now = append(now, b[at+headSize:at+headSize+n]...)
		if at, open = at+headSize+n, kind == first || kind == middle; !open {
			all, now = append(all, now), nil
		}
	}
	if open {
		t.Fatal("the last record has no end")
	}
	return all
}

// TestBlocks writes records of every length about a block's, and one of three blocks, at
// every place near a block's end.
func TestBlocks(t *testing.T) {
	for gap := range 2 * headSize {
		var b bytes.Buffer
		l := newLog(&b)
		var want [][]byte
		for i, n := range []int{blockSize - 3*headSize - gap, 1, headSize, 3 * blockSize, blockSize - headSize, 20} {
			want = append(want, bytes.Repeat([]byte{byte(i + 1)}, n))
			if err := l.write(want[i]); err != nil {
				t.Fatal(err)
			}
		}
		got := records(t, b.Bytes())
		if len(got) != len(want) {
			t.Fatalf("gap %d: %d records, want %d", gap, len(got), len(want))
		}
		for i := range want {
			if !bytes.Equal(got[i], want[i]) {
				t.Errorf("gap %d: record %d has %d bytes, want %d", gap, i, len(got[i]), len(want[i]))
			}
		}
	}
}

// TestNumbers: records are numbered from 1 on, one a step besides the first two and the
// last two, and the summary has what came last.
func TestNumbers(t *testing.T) {
	for _, ended := range []bool{true, false} {
		var b bytes.Buffer
		w := New(&b, &example)
		for step := range int64(2000) {
			w.Step(example.Began, step, map[string]float64{"loss": float64(step) / 4})
		}
		if err := w.Close(ended); err != nil {
			t.Fatal(err)
		}
		got := records(t, b.Bytes())
		want := map[bool]int{true: 2004, false: 2003}[ended]
		if len(got) != want {
			t.Fatalf("%d records, want %d", len(got), want)
		}
		for i, r := range got {
			if !bytes.HasPrefix(r, varint(nil, recordNumber, uint64(i+1))) {
				t.Fatalf("record %d begins with %x", i+1, r[:4])
			}
		}
		if last := got[2002]; !bytes.Contains(last, item("loss", "499.75")) || bytes.Contains(last, item("loss", "0")) {
			t.Errorf("the summary is %q", last)
		}
	}
}

type full struct{}

func (full) Write([]byte) (int, error) { return 0, errors.New("disk full") }

// TestErrors: an error of writing, and a setting that has no JSON, are told at the end.
func TestErrors(t *testing.T) {
	if err := New(full{}, &example).Close(true); err == nil || !strings.Contains(err.Error(), "disk full") {
		t.Errorf("%v", err)
	}
	bad := example
	bad.Config = map[string]any{"x": math.NaN()}
	if err := New(&bytes.Buffer{}, &bad).Close(true); err == nil || !strings.Contains(fmt.Sprint(err), "x") {
		t.Errorf("%v", err)
	}
}
