package safetensors

import (
	"bytes"
	"cmp"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"slices"
	"strconv"
	"unicode/utf8"
)

// readHeader parses and validates the header of a file of the given length.
// Offsets in the result are positions in the file.
func readHeader(r io.ReaderAt, file string, length int64) ([]Info, map[string]string, error) {
	fail := func(format string, a ...any) ([]Info, map[string]string, error) {
		return nil, nil, fmt.Errorf("safetensors: %s: %w", file, fmt.Errorf(format, a...))
	}
	var head [8]byte
	if length < 8 {
		return fail("the file is %d bytes long, shorter than the 8-byte header length: it is cut short", length)
	}
	if _, err := r.ReadAt(head[:], 0); err != nil {
		return fail("read bytes 0..8: %w", err)
	}
	n := binary.LittleEndian.Uint64(head[:])
	if string(head[:]) == "version " {
		return fail("a git-lfs pointer, not the weights: the repository was cloned without git-lfs\n  fix: git lfs install; git lfs pull")
	}
	if n > MaxHeader {
		return fail("bytes 0..8 give a header of %d bytes, over the limit of %d: not a safetensors file", n, MaxHeader)
	}
	if int64(n) > length-8 {
		return fail("the header is bytes 8..%d, but the file ends at %d: it is cut short", 8+n, length)
	}
	text := make([]byte, n)
	if _, err := r.ReadAt(text, 8); err != nil {
		return fail("read header, bytes 8..%d: %w", 8+n, err)
	}
	infos, meta, err := parseHeader(text)
	if err != nil {
		return fail("header, bytes 8..%d: %w", 8+n, err)
	}
	start := 8 + int64(n)
	for i := range infos {
		infos[i].File = file
		infos[i].Begin += start
		infos[i].End += start
	}
	if err := checkLayout(infos, start, length); err != nil {
		return fail("%w", err)
	}
	return infos, meta, nil
}

// checkLayout demands that the tensors tile start..length exactly.
func checkLayout(infos []Info, start, length int64) error {
	slices.SortFunc(infos, func(a, b Info) int {
		return cmp.Or(cmp.Compare(a.Begin, b.Begin), cmp.Compare(a.End, b.End), cmp.Compare(a.Name, b.Name))
	})
	at, prev := start, "the header"
	for _, t := range infos {
		switch {
		case t.End > length:
			return fmt.Errorf("tensor %q is bytes %d..%d, but the file ends at %d: it is cut short", t.Name, t.Begin, t.End, length)
		case t.Begin > at:
			return fmt.Errorf("tensor %q starts at byte %d, leaving a hole after %s, which ends at %d", t.Name, t.Begin, prev, at)
		case t.Begin < at:
			return fmt.Errorf("tensor %q starts at byte %d, inside %s, which ends at %d", t.Name, t.Begin, prev, at)
		}
		at, prev = t.End, fmt.Sprintf("tensor %q", t.Name)
	}
	if at != length {
		return fmt.Errorf("the last tensor ends at byte %d, the file at %d: %d bytes belong to no tensor", at, length, length-at)
	}
	return nil
}

// parseHeader reads the JSON by tokens, as encoding/json's maps hide duplicates.
func parseHeader(text []byte) ([]Info, map[string]string, error) {
	if len(text) == 0 || text[0] != '{' {
		return nil, nil, errors.New("does not start with '{': not a safetensors file")
	}
	if !utf8.Valid(text) {
		return nil, nil, errors.New("is not UTF-8")
	}
	dec := json.NewDecoder(bytes.NewReader(text))
	dec.UseNumber()
	var infos []Info
	meta := map[string]string{}
	err := object(dec, func(key string) error {
		if key == "__metadata__" {
			return parseMetadata(dec, meta)
		}
		t, err := parseEntry(dec, key)
		if err != nil {
			return fmt.Errorf("tensor %q: %w", key, err)
		}
		infos = append(infos, t)
		return nil
	})
	if err != nil {
		return nil, nil, err
	}
	if rest := bytes.Trim(text[dec.InputOffset():], " "); len(rest) > 0 {
		return nil, nil, fmt.Errorf("%d bytes after the JSON object", len(rest))
	}
	return infos, meta, nil
}

func parseMetadata(dec *json.Decoder, meta map[string]string) error {
	return object(dec, func(key string) error {
		v, err := dec.Token()
		if err != nil {
			return err
		}
		s, ok := v.(string)
		if !ok {
			return fmt.Errorf("__metadata__ %q is not a string", key)
		}
		meta[key] = s
		return nil
	})
}

func parseEntry(dec *json.Decoder, name string) (Info, error) {
	t := Info{Name: name}
	var offsets []int64
	seen := 0
	err := object(dec, func(key string) (err error) {
		seen++
		switch key {
		case "dtype":
			v, err := dec.Token()
			s, ok := v.(string)
			if err != nil || !ok {
				return errors.Join(errors.New("dtype is not a string"), err)
			}
			t.DType = DType(s)
		case "shape":
			shape, err := integers(dec)
			if err != nil {
				return fmt.Errorf("shape: %w", err)
			}
			t.Shape = make([]int, len(shape))
			for i, d := range shape {
				t.Shape[i] = int(d)
			}
		case "data_offsets":
			if offsets, err = integers(dec); err != nil {
				return fmt.Errorf("data_offsets: %w", err)
			}
		default:
			return fmt.Errorf("unknown key %q", key)
		}
		return nil
	})
	if err != nil {
		return t, err
	}
	if seen != 3 {
		return t, errors.New("needs dtype, shape and data_offsets")
	}
	if len(offsets) != 2 || offsets[0] > offsets[1] {
		return t, fmt.Errorf("data_offsets %v are not [begin, end]", offsets)
	}
	t.Begin, t.End = offsets[0], offsets[1]
	want, err := byteSize(t.DType, t.Shape)
	if err != nil {
		return t, err
	}
	if t.End-t.Begin != want {
		return t, fmt.Errorf("data_offsets %v hold %d bytes, %s%v needs %d", offsets, t.End-t.Begin, t.DType, t.Shape, want)
	}
	return t, nil
}

// byteSize is the storage of a tensor, or an error for an unknown type, a size
// beyond int64 or one that is not a whole number of bytes.
func byteSize(d DType, shape []int) (int64, error) {
	b, ok := bits[d]
	if !ok {
		return 0, fmt.Errorf("unknown dtype %q", d)
	}
	n := int64(b)
	for _, s := range shape {
		if s < 0 || s > 0 && n > math.MaxInt64/int64(s) {
			return 0, fmt.Errorf("shape %v is impossible", shape)
		}
		n *= int64(s)
	}
	if n%8 != 0 {
		return 0, fmt.Errorf("%s%v is not a whole number of bytes", d, shape)
	}
	return n / 8, nil
}

// object reads one JSON object and calls field after each key; a key that
// appears twice is an error.
func object(dec *json.Decoder, field func(key string) error) error {
	open, err := dec.Token()
	if err != nil {
		return err
	}
	if open != json.Delim('{') {
		return fmt.Errorf("found %v where an object should be", open)
	}
	seen := map[string]bool{}
	for dec.More() {
		k, err := dec.Token()
		if err != nil {
			return err
		}
		key := k.(string) // the decoder accepts nothing else here
		if seen[key] {
			return fmt.Errorf("key %q appears twice", key)
		}
		seen[key] = true
		if err := field(key); err != nil {
			return err
		}
	}
	_, err = dec.Token()
	return err
}

// integers reads an array of non-negative integers.
func integers(dec *json.Decoder) ([]int64, error) {
	open, err := dec.Token()
	if err != nil {
		return nil, err
	}
	if open != json.Delim('[') {
		return nil, fmt.Errorf("found %v where a list should be", open)
	}
	out := []int64{}
	for dec.More() {
		v, err := dec.Token()
		if err != nil {
			return nil, err
		}
		num, ok := v.(json.Number)
		if !ok {
			return nil, fmt.Errorf("%v is not a number", v)
		}
		n, err := strconv.ParseInt(string(num), 10, 64)
		if err != nil || n < 0 || strconv.IntSize == 32 && n > math.MaxInt32 {
			return nil, fmt.Errorf("%v is not a valid size", num)
		}
		out = append(out, n)
	}
	_, err = dec.Token()
	return out, err
}
