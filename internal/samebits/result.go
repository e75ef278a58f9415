package main

import (
	"bufio"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"math"
	"os"
	"path/filepath"

	"concord/internal/safetensors"
)

// result has the hashes of a run's files.
type result struct {
	weights string   // SHA-256 over names, shapes and values of the final model
	metrics string   // SHA-256 over lines
	lines   []string // the numbers of metrics.jsonl that do not depend on time or memory
}

// numbers are the fields of a record that a step computes.
var numbers = map[string][]string{
	"step": {"step", "loss", "loss_by_lang", "tokens_by_lang", "grad_norm", "clip_scale", "lr", "negative_pairs", "pairs", "masked",
		"buckets", "cosines"},
	"gram":  {"step", "metric", "buckets"},
	"probe": {"step", "predicted", "realised"},
}

func readResult(dir string) (r result, err error) {
	if r.weights, err = hashWeights(filepath.Join(dir, "model", "model.safetensors")); err != nil {
		return r, err
	}
	f, err := os.Open(filepath.Join(dir, "metrics.jsonl"))
	if err != nil {
		return r, err
	}
	defer f.Close()
	h := sha256.New()
	lines := bufio.NewScanner(f)
	lines.Buffer(nil, 1<<26)
	for lines.Scan() {
		line, err := reduce(lines.Bytes())
		if err != nil {
			return r, err
		}
		if line != "" {
			r.lines = append(r.lines, line)
			io.WriteString(h, line+"\n")
		}
	}
	r.metrics = hex.EncodeToString(h.Sum(nil))
	return r, lines.Err()
}

// reduce keeps of a record the numbers, "" for a record that has none.
func reduce(line []byte) (string, error) {
	record := map[string]json.RawMessage{}
	if err := json.Unmarshal(line, &record); err != nil {
		return "", err
	}
	kind := ""
	if err := json.Unmarshal(record["kind"], &kind); err != nil {
		return "", err
	}
	out := kind
	for _, key := range numbers[kind] {
		if v, ok := record[key]; ok {
			out += fmt.Sprintf(" %s=%s", key, v)
		}
	}
	if out == kind {
		return "", nil
	}
	return out, nil
}

// hashWeights hashes the values and not the file, whose header may change.
func hashWeights(path string) (string, error) {
	f, err := safetensors.Open(path)
	if err != nil {
		return "", err
	}
	defer f.Close()
	h := sha256.New()
	for _, name := range f.Names() {
		x, err := f.ReadFloat32(name)
		if err != nil {
			return "", err
		}
		fmt.Fprintf(h, "%s %d\n", name, len(x))
		buf := make([]byte, 0, 4*len(x))
		for _, v := range x {
			buf = binary.LittleEndian.AppendUint32(buf, math.Float32bits(v))
		}
		h.Write(buf)
	}
	return hex.EncodeToString(h.Sum(nil)), nil
}

// differs says where two results differ first, nil where they are the same.
func (r result) differs(o result) error {
	for i, line := range r.lines {
		if i >= len(o.lines) || o.lines[i] != line {
			other := "(missing)"
			if i < len(o.lines) {
				other = o.lines[i]
			}
			return fmt.Errorf("metrics, record %d:\n  old %s\n  new %s", i+1, from(line, other), from(other, line))
		}
	}
	switch {
	case len(o.lines) != len(r.lines):
		return fmt.Errorf("metrics: %d records, then %d", len(r.lines), len(o.lines))
	case r.weights != o.weights:
		return fmt.Errorf("weights: %.12s, then %.12s", r.weights, o.weights)
	}
	return nil
}

// from is line from the field on in which it differs from other, shortened.
func from(line, other string) string {
	at := 0
	for i := 0; i < min(len(line), len(other)) && line[i] == other[i]; i++ {
		if line[i] == ' ' {
			at = i + 1
		}
	}
	return fmt.Sprintf("%.300s", line[at:])
}
