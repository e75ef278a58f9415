package records

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"math"
	"os"
	"unicode/utf8"

	"github.com/parquet-go/parquet-go"
)

// readParquet reads the rows of a Parquet file. A damaged one is an error, though
// the library panics on some.
func readParquet(in *input, yield func(Record) error) (err error) {
	row, inYield := 0, false
	defer func() {
		if r := recover(); r != nil {
			if inYield {
				panic(r) // not the library's
			}
			err = in.fail(row, "a damaged Parquet file: %v", r)
		}
	}()
	file, size, done, err := in.whole()
	if err != nil {
		return err
	}
	defer done()
	p, err := parquet.OpenFile(file, size)
	if err != nil {
		return in.fail(0, "not a whole Parquet file: %v", err)
	}
	columns := p.Schema().Fields()
	for _, group := range p.RowGroups() {
		rows := group.Rows()
		defer rows.Close()
		buffer := make([]parquet.Row, 64)
		for {
			n, err := rows.ReadRows(buffer)
			for _, r := range buffer[:n] {
				row++
				f := rowObject(columns, r)
				inYield = true
				if err := yield(Record{Line: row, Fields: f}); err != nil {
					return err
				}
				inYield = false
			}
			if err == io.EOF {
				break
			}
			if err != nil {
				return in.fail(row+1, "%v: the file is damaged", err)
			}
		}
	}
	return nil
}

// whole is the input as a file that can be read anywhere: a compressed one is
// unpacked beside the temporary files first.
func (in *input) whole() (file *os.File, size int64, done func(), err error) {
	file, done = in.file, func() {}
	if !in.plain {
		if file, err = os.CreateTemp("", "concord-*.parquet"); err != nil {
			return nil, 0, nil, fmt.Errorf("data: %w", err)
		}
		done = func() { file.Close(); os.Remove(file.Name()) }
		n, err := io.Copy(file, io.LimitReader(in.r, maxUnpacked+1))
		if err != nil {
			done()
			return nil, 0, nil, in.fail(0, "cannot unpack it: %v", err)
		}
		if n > maxUnpacked {
			done()
			return nil, 0, nil, in.fail(0, "it unpacks to more than %d bytes: unpack it first", maxUnpacked)
		}
	}
	st, err := file.Stat()
	if err != nil {
		done()
		return nil, 0, nil, fmt.Errorf("data: %w", err)
	}
	return file, st.Size(), done, nil
}

// rowObject is a row as the JSON of its columns.
func rowObject(columns []parquet.Field, row parquet.Row) Fields {
	var leaves [][]parquet.Value
	row.Range(func(_ int, values []parquet.Value) bool {
		leaves = append(leaves, values)
		return true
	})
	f := Fields{}
	for _, c := range columns {
		n := leafCount(c)
		f[c.Name()] = toJSON(assemble(c, leaves[:n], 0, 0))
		leaves = leaves[n:]
	}
	return f
}

// leafCount is the number of columns below a node.
func leafCount(n parquet.Node) int {
	if n.Leaf() {
		return 1
	}
	count := 0
	for _, f := range n.Fields() {
		count += leafCount(f)
	}
	return count
}

// assemble builds a node's value from its leaves' values by their repetition and
// definition levels, rep and def being the node's parent's (Dremel; Melnik et al.
// 2010).
func assemble(n parquet.Node, leaves [][]parquet.Value, rep, def int) any {
	switch {
	case n.Optional():
		def++
		if leaves[0][0].DefinitionLevel() < def {
			return nil
		}
	case n.Repeated():
		rep, def = rep+1, def+1
		list := []any{}
		if leaves[0][0].DefinitionLevel() < def {
			return list
		}
		for _, part := range cutRepeated(leaves, rep) {
			list = append(list, required(n, part, rep, def))
		}
		return list
	}
	return required(n, leaves, rep, def)
}

// cutRepeated divides leaves' values into those of a list's elements.
func cutRepeated(leaves [][]parquet.Value, rep int) [][][]parquet.Value {
	var out [][][]parquet.Value
	for l, values := range leaves {
		start, element := 0, 0
		for i := 1; i <= len(values); i++ {
			if i < len(values) && values[i].RepetitionLevel() > rep {
				continue
			}
			if l == 0 {
				out = append(out, nil)
			}
			out[element] = append(out[element], values[start:i])
			start, element = i, element+1
		}
	}
	return out
}

// required is the value of a node that is there.
func required(n parquet.Node, leaves [][]parquet.Value, rep, def int) any {
	if n.Leaf() {
		return leafValue(leaves[0][0])
	}
	object := map[string]any{}
	for _, f := range n.Fields() {
		count := leafCount(f)
		object[f.Name()] = assemble(f, leaves[:count], rep, def)
		leaves = leaves[count:]
	}
	if t := n.Type().LogicalType(); t != nil && t.String() == "LIST" {
		return unwrapList(object)
	}
	return object
}

// unwrapList takes the two levels off that a list has in a file: a repeated group
// with one field.
func unwrapList(object map[string]any) any {
	for _, inner := range object {
		list, ok := inner.([]any)
		if !ok {
			return inner
		}
		for i, e := range list {
			if wrapped, ok := e.(map[string]any); ok && len(wrapped) == 1 {
				for _, v := range wrapped {
					list[i] = v
				}
			}
		}
		return list
	}
	return object
}

// leafValue is one value as Go's JSON takes it.
func leafValue(v parquet.Value) any {
	switch v.Kind() {
	case parquet.Boolean:
		return v.Boolean()
	case parquet.Int32:
		return v.Int32()
	case parquet.Int64:
		return v.Int64()
	case parquet.Float, parquet.Double:
		x := v.Double()
		if v.Kind() == parquet.Float {
			x = float64(v.Float())
		}
		if math.IsNaN(x) || math.IsInf(x, 0) {
			return nil
		}
		return x
	case parquet.ByteArray, parquet.FixedLenByteArray:
		if b := v.ByteArray(); utf8.Valid(b) {
			return string(b)
		}
		return map[string]int{"bytes that are not UTF-8": len(v.ByteArray())}
	}
	return nil
}

// toJSON is v's JSON, without HTML's escapes.
func toJSON(v any) json.RawMessage {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if e.Encode(v) != nil {
		return json.RawMessage("null") // leafValue gives nothing that cannot be written
	}
	return bytes.TrimSuffix(b.Bytes(), []byte("\n"))
}
