// Package tensorboard writes scalars as an event file that TensorBoard reads: records of
// the TFRecord format (length, data, and a masked CRC-32C of each), each an Event message
// in protocol-buffer encoding. The two formats are small and frozen, so that no library is
// needed. Start reading at Writer.
package tensorboard

import (
	"bufio"
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"io"
	"math"
	"time"
)

// Writer writes one event file. It is not safe for concurrent use.
type Writer struct {
	w   *bufio.Writer
	err error
}

// New begins an event file that was opened at the given time.
func New(w io.Writer, at time.Time) *Writer {
	x := &Writer{w: bufio.NewWriter(w)}
	x.event(at, 0, appendBytes(nil, fileVersion, []byte("brain.Event:2")))
	return x
}

// FileName is the name under which TensorBoard finds an event file.
func FileName(at time.Time, source string) string {
	return fmt.Sprintf("events.out.tfevents.%d.%s", at.Unix(), source)
}

// Scalar adds the value of a curve at a step. Values that are not finite are left out,
// and the curve has a gap there.
func (x *Writer) Scalar(at time.Time, step int64, tag string, value float64) {
	if math.IsNaN(value) || math.IsInf(value, 0) {
		return
	}
	v := appendBytes(nil, valueTag, []byte(tag))
	v = binary.LittleEndian.AppendUint32(appendKey(v, valueSimple, fixed32), math.Float32bits(float32(value)))
	x.event(at, step, appendBytes(nil, summary, appendBytes(nil, summaryValue, v)))
}

// Close flushes. The error is the first of writing.
func (x *Writer) Close() error {
	if err := x.w.Flush(); x.err == nil {
		x.err = err
	}
	return x.err
}

// Fields of the messages Event, Summary and Summary.Value (tensorflow/core/util/event.proto,
// tensorflow/core/framework/summary.proto), and the wire types of protocol buffers.
const (
	wallTime, stepField, fileVersion, summary = 1, 2, 3, 5
	summaryValue                              = 1
	valueTag, valueSimple                     = 1, 2

	varint, fixed64, lengthDelimited, fixed32 = 0, 1, 2, 5
)

func appendKey(b []byte, field, wire int) []byte {
	return binary.AppendUvarint(b, uint64(field<<3|wire))
}

func appendBytes(b []byte, field int, data []byte) []byte {
	b = binary.AppendUvarint(appendKey(b, field, lengthDelimited), uint64(len(data)))
	return append(b, data...)
}

// event writes one record: an Event with its content.
func (x *Writer) event(at time.Time, step int64, what []byte) {
	b := binary.LittleEndian.AppendUint64(appendKey(nil, wallTime, fixed64), math.Float64bits(float64(at.UnixNano())/1e9))
	b = binary.AppendUvarint(appendKey(b, stepField, varint), uint64(step))
	b = append(b, what...)
	head := binary.LittleEndian.AppendUint64(nil, uint64(len(b)))
	head = binary.LittleEndian.AppendUint32(head, masked(head))
	for _, part := range [][]byte{head, b, binary.LittleEndian.AppendUint32(nil, masked(b))} {
		if _, err := x.w.Write(part); err != nil && x.err == nil {
			x.err = err
		}
	}
}

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// masked is TFRecord's check sum.
func masked(b []byte) uint32 {
	c := crc32.Checksum(b, castagnoli)
	return (c>>15 | c<<17) + 0xa282ead8
}
