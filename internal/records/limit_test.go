package records

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// A quote, bracket or paragraph without an end is an error with its line, and not all
// of the memory; records of the allowed length are read, however many there are.
func TestLongRecords(t *testing.T) {
	was, wasUnpacked := maxRecord, maxUnpacked
	maxRecord, maxUnpacked = 1<<17, 1<<17
	defer func() { maxRecord, maxUnpacked = was, wasUnpacked }()
	fits, long := strings.Repeat("x", 1<<16), strings.Repeat("x y\n", 1<<17)
	endless := strings.Repeat("x", 1<<19)
	many := func(format string) string { return strings.Repeat(fmt.Sprintf(format, fits), 9) }
	for _, c := range []struct {
		name, file, text string
		records          int
		fails            string
	}{
		{"rows", "a.csv", "text\n" + many("\"%s\"\n"), 9, ""},
		{"list", "a.json", "[" + many(`{"text":"%s"},`+"\n") + "{}]", 10, ""},
		{"objects", "a.json", many(`{"text":"%s"}` + "\n"), 9, ""},
		{"paragraphs", "a.txt", many("%s\n\n"), 9, ""},
		{"a row", "a.csv", "text\nok\n\"" + long, 1, "a.csv:3: the row"},
		{"a header", "a.csv", "\"" + long, 0, "a.csv:1: the row"},
		{"a string in a list", "a.json", "[{\"text\":\"ok\"},\n{\"text\":\"" + endless, 1, "a.json:1: the value"},
		{"an object", "a.json", "{\"text\":\"ok\"}\n{\"text\":\"" + endless, 1, "a.json:2: the value"},
		{"white space", "a.json", "{\"text\":\"ok\"}\n" + strings.Repeat("\n", 1<<18), 1, "has more than 131072 bytes"},
		{"a paragraph", "a.txt", "ok\n\n" + long, 1, "a.txt:3: the text"},
		{"Parquet", "a.parquet.gz", gzipped(t, long), 0, "unpacks to more than 131072 bytes"},
	} {
		path := filepath.Join(t.TempDir(), c.file)
		if err := os.WriteFile(path, []byte(c.text), 0o644); err != nil {
			t.Fatal(err)
		}
		n := 0
		err := Read(path, "", func(string, ...any) {}, func(Record) error { n++; return nil })
		if n != c.records || (err == nil) != (c.fails == "") || err != nil && !strings.Contains(err.Error(), c.fails) {
			t.Errorf("%s: %d records, error %v; want %d, %q", c.name, n, err, c.records, c.fails)
		}
	}
}
