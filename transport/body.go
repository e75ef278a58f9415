package transport

import (
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"io"
	"slices"
)

// ChunkSize is how many bytes of a body share a checksum.
const ChunkSize = 256 << 10

// Hash is a SHA-256.
type Hash [32]byte

// Sum is the hash of parts, one after the other.
func Sum(parts ...[]byte) (h Hash) {
	s := sha256.New()
	for _, p := range parts {
		s.Write(p)
	}
	s.Sum(h[:0])
	return h
}

// A transfer is acknowledged by the SHA-256 of its chunks' checksums, in their
// order: hashing the bytes themselves would cost each side a quarter of the time
// that they take on the wire.

// writeBody writes b in chunks, each followed by its CRC-32C, and appends these
// to sums. wait is called with the number of bytes of a chunk that are left and returns how many of
// them may be written now, at least one.
func writeBody(w io.Writer, b []byte, sums *[]byte, wait func(n int) (int, error)) error {
	for chunk := range slices.Chunk(b, ChunkSize) {
		for rest := chunk; len(rest) > 0; {
			n, err := wait(len(rest))
			if err != nil {
				return err
			}
			if _, err := w.Write(rest[:n]); err != nil {
				return err
			}
			rest = rest[n:]
		}
		n := len(*sums)
		*sums = binary.LittleEndian.AppendUint32(*sums, crc32.Checksum(chunk, castagnoli))
		if _, err := w.Write((*sums)[n:]); err != nil {
			return err
		}
	}
	return nil
}

// progressSize is the bytes with which a peer makes progress: so many, within Options.Stall.
const progressSize = 16 << 10

// readBody fills b from chunks and returns their checksums. All chunks are read even when one is damaged, so
// that the sender may begin again on the same stream; the error is then
// ErrDamaged. progress is called before each progressSize bytes, and not only before each chunk:
// of many transfers that share a low upload limit each is slow, and none has stopped.
func readBody(r io.Reader, b []byte, progress func()) (sums []byte, err error) {
	damaged := -1
	for lo := 0; lo < len(b); lo += ChunkSize {
		chunk := b[lo:min(lo+ChunkSize, len(b))]
		for piece := range slices.Chunk(chunk, progressSize) {
			progress()
			if _, err := io.ReadFull(r, piece); err != nil {
				return nil, err
			}
		}
		var sum [4]byte
		if _, err := io.ReadFull(r, sum[:]); err != nil {
			return nil, err
		}
		if binary.LittleEndian.Uint32(sum[:]) != crc32.Checksum(chunk, castagnoli) && damaged < 0 {
			damaged = lo / ChunkSize
		}
		sums = append(sums, sum[:]...)
	}
	if damaged >= 0 {
		return nil, fmt.Errorf("%w: chunk %d", ErrDamaged, damaged)
	}
	return sums, nil
}
