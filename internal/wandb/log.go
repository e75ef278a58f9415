package wandb

import (
	"encoding/binary"
	"hash/crc32"
	"io"
)

// The log is LevelDB's (doc/log_format.md there): blocks of 32 KiB, in each whole or
// partial records with a check sum, a length and a type. wandb's has a header of its own,
// and its check sum is the CRC-32 of IEEE over type and data, not masked.
const (
	blockSize  = 32 << 10
	headSize   = 7
	whole      = 1
	first      = 2
	middle     = 3
	final      = 4
	fileHeader = ":W&B\xe1\xbe\x00" // name, magic number, version
)

// log cuts records into blocks.
type log struct {
	w    io.Writer
	used int // bytes of the block under way
	err  error
}

func newLog(w io.Writer) *log {
	l := &log{w: w}
	l.put([]byte(fileHeader))
	return l
}

// write adds a record. The error is the first of all.
func (l *log) write(b []byte) error {
	for begin := true; begin || len(b) > 0; begin = false {
		if left := blockSize - l.used; left < headSize {
			l.put(make([]byte, left))
		}
		n := min(len(b), blockSize-l.used-headSize)
		kind := byte(middle)
		switch end := n == len(b); {
		case begin && end:
			kind = whole
		case begin:
			kind = first
		case end:
			kind = final
		}
		piece := append(make([]byte, headSize), b[:n]...)
		piece[6] = kind
		binary.LittleEndian.PutUint16(piece[4:], uint16(n))
		binary.LittleEndian.PutUint32(piece, crc32.ChecksumIEEE(piece[6:]))
		l.put(piece)
		b = b[n:]
	}
	return l.err
}

// put writes bytes that lie in one block.
func (l *log) put(b []byte) {
	if l.err == nil {
		_, l.err = l.w.Write(b)
	}
	l.used = (l.used + len(b)) % blockSize
}
