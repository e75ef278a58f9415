// Package wandb writes a run as Weights & Biases keeps one that was not online: a log of
// records in protocol-buffer encoding, which `wandb sync` uploads. The fields are those of
// wandb_internal.proto, as wandb 0.31 writes them. Start reading at Writer.
package wandb

import (
	"encoding/binary"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"math"
	"slices"
	"time"
)

// Run is the log's part on a run as a whole.
type Run struct {
	ID      string // names the run on the server: the same one is uploaded to the same run
	Project string
	Name    string
	Began   time.Time
	Config  map[string]any // values that encoding/json takes
}

// Folder is the name of the folder of a run, and File that of the log in it, as wandb
// gives and finds them.
func (r *Run) Folder() string {
	return fmt.Sprintf("offline-run-%s-%s", r.Began.UTC().Format("20060102_150405"), r.ID)
}

// File is the name of the log in the run's folder.
func (r *Run) File() string { return "run-" + r.ID + ".wandb" }

// Writer writes one log. It is not safe for concurrent use.
type Writer struct {
	log   *log
	began time.Time
	num   int64
	last  map[string]string // latest value of each curve, as JSON
	err   error
}

// New begins the log of a run.
func New(w io.Writer, r *Run) *Writer {
	x := &Writer{log: newLog(w), began: r.Began, last: map[string]string{}}
	x.record(header, message(versionInfo, text(nil, producer, "concord"), text(nil, minConsumer, "0.70.0")))
	body := text(text(nil, runID, r.ID), project, r.Project)
	body = append(body, message(config, x.items(nil, r.Config))...)
	body = text(body, displayName, r.Name)
	began := varint(varint(nil, seconds, uint64(r.Began.Unix())), nanos, uint64(r.Began.Nanosecond()))
	x.record(run, append(body, message(startTime, began)...))
	return x
}

// Step adds the values of a step, each a point of the curve of its name. Steps must rise.
// Values that are not finite are left out, and the curve has a gap there.
func (x *Writer) Step(at time.Time, step int64, values map[string]float64) {
	all := map[string]any{
		"_step": step, "_runtime": at.Sub(x.began).Seconds(), "_timestamp": float64(at.UnixMicro()) / 1e6,
	}
	for name, v := range values {
		if !math.IsNaN(v) && !math.IsInf(v, 0) {
			all[name] = v
		}
	}
	number := message(historyStep, varint(nil, stepNumber, uint64(step)))
	x.record(history, append(x.items(x.last, all), number...))
}

// Close adds the summary, the latest value of every curve, and the end of the run, unless
// the run goes on. The error is the first of all.
func (x *Writer) Close(ended bool) error {
	var b []byte
	for _, name := range slices.Sorted(maps.Keys(x.last)) {
		b = append(b, item(name, x.last[name])...)
	}
	x.record(summary, b)
	if ended {
		x.record(exit, nil)
	}
	return x.err
}

// record writes a record that holds a message in the field.
func (x *Writer) record(field int, what ...[]byte) {
	x.num++
	b := append(varint(nil, recordNumber, uint64(x.num)), message(field, what...)...)
	if err := x.log.write(b); x.err == nil {
		x.err = err
	}
}

// items are values by name, in the order of names, which are also put into last.
func (x *Writer) items(last map[string]string, values map[string]any) []byte {
	var b []byte
	for _, name := range slices.Sorted(maps.Keys(values)) {
		v, err := json.Marshal(values[name])
		if err != nil {
			if x.err == nil {
				x.err = fmt.Errorf("wandb: %s: %w", name, err)
			}
			continue
		}
		if last != nil {
			last[name] = string(v)
		}
		b = append(b, item(name, string(v))...)
	}
	return b
}

// Fields of the messages Record, HeaderRecord, VersionInfo, RunRecord, Timestamp,
// HistoryRecord, HistoryStep, and of ConfigItem, HistoryItem and SummaryItem, which agree,
// as do the fields that hold them.
const (
	recordNumber, history, summary, run, exit, header = 1, 2, 3, 17, 18, 21
	versionInfo, producer, minConsumer                = 1, 1, 2
	runID, project, config, displayName, startTime    = 1, 3, 4, 8, 17
	seconds, nanos                                    = 1, 2
	historyStep, stepNumber                           = 2, 1
	itemField, itemName, itemJSON                     = 1, 2, 16 // the name as a path of one part
)

func item(name, value string) []byte {
	return message(itemField, text(nil, itemName, name), text(nil, itemJSON, value))
}

// message is a field that holds the parts in a row; text and varint append a field to b.
func message(field int, parts ...[]byte) []byte {
	return text(nil, field, string(slices.Concat(parts...)))
}

func text(b []byte, field int, s string) []byte {
	b = binary.AppendUvarint(b, uint64(field<<3|2))
	b = binary.AppendUvarint(b, uint64(len(s)))
	return append(b, s...)
}

func varint(b []byte, field int, v uint64) []byte {
	return binary.AppendUvarint(binary.AppendUvarint(b, uint64(field<<3)), v)
}
