package records

import (
	"encoding/csv"
	"encoding/json"
	"errors"
	"io"
	"slices"
	"strings"
)

// readCSV reads comma-separated values (RFC 4180); the first row names the columns.
func readCSV(in *input, yield func(Record) error) error {
	limit := &limitedReader{r: in.r}
	c := csv.NewReader(limit)
	c.ReuseRecord = true
	var names []string
	last := 0
	for {
		limit.start = c.InputOffset()
		row, err := c.Read()
		var wrong *csv.ParseError
		switch {
		case err == io.EOF:
			return nil
		case errors.Is(err, errLongRecord):
			return in.fail(last+1, "the row that begins here or below has more than %d bytes: is a quote without its end?", maxRecord)
		case errors.As(err, &wrong) && errors.Is(err, csv.ErrFieldCount):
			return in.fail(wrong.StartLine, "%d columns, the first row has %d: a text with a comma must be in quotes", len(row), len(names))
		case errors.As(err, &wrong):
			return in.fail(wrong.Line, "column %d: %v: a text with a quote must be in quotes, with its own quotes doubled", wrong.Column, wrong.Err)
		case err != nil:
			return in.fail(0, "%v: the file is damaged or cut short", err)
		}
		n, _ := c.FieldPos(0)
		last = n
		if err := in.checkText(n, []byte(strings.Join(row, "\n"))); err != nil {
			return err
		}
		if names == nil {
			if names, err = in.header(row); err != nil {
				return err
			}
			continue
		}
		if err := yield(Record{Line: n, Fields: rowFields(names, row)}); err != nil {
			return err
		}
	}
}

// readTSV reads tab-separated values, a row a line; the first names the columns. A
// cell that begins and ends with a quote has its inner quotes doubled; other quotes
// are text.
func readTSV(in *input, yield func(Record) error) error {
	var names []string
	return in.lines(false, func(n int, line []byte) error {
		if len(strings.TrimSpace(string(line))) == 0 {
			return nil
		}
		row := strings.Split(string(line), "\t")
		for i, cell := range row {
			row[i] = unquote(cell)
		}
		if names == nil {
			var err error
			names, err = in.header(row)
			return err
		}
		if len(row) != len(names) {
			return in.fail(n, "%d columns, the first row has %d: a tab or a line break within a text cannot be told from one "+
				"between cells; write it as .csv or .jsonl", len(row), len(names))
		}
		return yield(Record{Line: n, Fields: rowFields(names, row)})
	})
}

// unquote takes the quotes off a cell that is wholly in quotes.
func unquote(cell string) string {
	if len(cell) < 2 || cell[0] != '"' || cell[len(cell)-1] != '"' {
		return cell
	}
	inner := cell[1 : len(cell)-1]
	if strings.Count(inner, `"`) != 2*strings.Count(inner, `""`) {
		return cell // its quotes are not doubled: they are text
	}
	return strings.ReplaceAll(inner, `""`, `"`)
}

// header is the names of a table's columns.
func (in *input) header(row []string) ([]string, error) {
	names := make([]string, len(row))
	for i, name := range row {
		names[i] = strings.TrimSpace(name)
		if names[i] == "" && len(row) > 1 {
			names[i] = "column " + string(rune('1'+i%9)) // an index without a name, as pandas writes it
		}
		if slices.Contains(names[:i], names[i]) {
			return nil, in.fail(1, "two columns are named %q: the first row names the columns", names[i])
		}
	}
	return names, nil
}

// rowFields are a row's cells by their column.
func rowFields(names, row []string) Fields {
	f := make(Fields, len(names))
	for i, name := range names {
		f[name], _ = json.Marshal(row[i]) // a string
	}
	return f
}
