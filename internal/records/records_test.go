package records

import (
	"bytes"
	"compress/gzip"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/klauspost/compress/zstd"
)

// put writes a file into a fresh folder.
func put(t testing.TB, name string, data []byte) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, data, 0o644); err != nil {
		t.Fatal(err)
	}
	return path
}

// read lists a file's records, one string each: line, then text or sorted columns.
func read(path, format string) (out, notes []string, err error) {
	err = Read(path, format, func(f string, args ...any) { notes = append(notes, fmt.Sprintf(f, args...)) }, func(r Record) error {
		s := fmt.Sprintf("%d", r.Line)
		if r.Fields == nil {
			s += " " + r.Text
		}
		var keys []string
		for k := range r.Fields {
			keys = append(keys, k)
		}
		slices.Sort(keys)
		for _, k := range keys {
			s += fmt.Sprintf(" %s=%s", k, r.Fields[k])
		}
		out = append(out, s)
		return nil
	})
	return out, notes, err
}

func gzipped(t testing.TB, s string) string {
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	z.Write([]byte(s))
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

func zstded(t testing.TB, s string) string {
	z, err := zstd.NewWriter(nil)
	if err != nil {
		t.Fatal(err)
	}
	return string(z.EncodeAll([]byte(s), nil))
}

func testdata(t testing.TB, name string) string {
	b, err := os.ReadFile(filepath.Join("testdata", name))
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// Each format, plain and compressed, gives the same records.
func TestRead(t *testing.T) {
	two := []string{`1 text="a"`, `2 text="b"`}
	parquet := []string{
		`1 h=[[["a","b"]]] id=1 messages=[{"content":"q","role":"user"},{"content":"é","role":"assistant"}] ok=true text="one" x=0.5`,
		`2 h=[] id=2 messages=[] ok=false text="" x=null`,
		`3 h=null id=3 messages=null ok=null text=null x=null`,
	}
	for _, c := range []struct {
		file, format, text string
		want               []string
	}{
		{"a.jsonl", "", "{\"text\":\"a\"}\r\n{\"text\":\"b\"}", two},
		{"a.ndjson", "", "\uFEFF{\"text\":\"a\"}\n{\"text\":\"b\"}\n", two},
		{"a.jsonl", "", "\n {\"text\": \"a\", \"n\": [1, {}]} \n\n", []string{`2 n=[1, {}] text="a"`}},
		{"a.json", "", "[{\"text\":\"a\"},\n{\"text\":\"b\"}]\n", two},
		{"a.json", "", "\n[\n\n{\"text\":\"a\"}\n\n, {\"text\":\n\"b\"}]", []string{`4 text="a"`, `6 text="b"`}},
		{"a.json", "", "{\"text\":\"a\"}\n{\"text\":\"b\"}", two},
		{"a.json", "", "[]", nil},
		{"a.json", "", " \n", nil},
		{"a.csv", "", "text,n\na,1\n\"b \"\"x\"\",\ny\",2\n", []string{`2 n="1" text="a"`, `3 n="2" text="b \"x\",\ny"`}},
		{"a.csv", "", "\uFEFFtext\r\na\r\nb\r\n", []string{`2 text="a"`, `3 text="b"`}},
		{"a.tsv", "", "text\tn\na \"x\"\t\"1\"\"\"\n\"b\" said \"c\"\t2\n", []string{`2 n="1\"" text="a \"x\""`, `3 n="2" text="\"b\" said \"c\""`}},
		{"a.txt", "", "one\r\ntwo\r\n \r\n\n\nthree", []string{"1 one\ntwo", "6 three"}},
		{"a.txt", "", "uno\r\rdos\r\rtres\r", []string{"1 uno", "3 dos", "5 tres"}},
		{"a.txt", "lines", "one\ntwo\n \n three", []string{"1 one", "2 two", "4  three"}},
		{"a.txt", "lines", "one\rtwo\r\nthree\n\r", []string{"1 one", "2 two", "3 three"}},
		{"a.dat", "jsonl", "{\"text\":\"a\"}\n{\"text\":\"b\"}", two},
		{"a.parquet", "", testdata(t, "snappy.parquet"), parquet},
		{"a.parquet", "", testdata(t, "zstd_v2.parquet"), parquet},
		{"a.txt", "", "", nil},
		{"a.jsonl", "", "", nil},
		{"a.csv", "", "", nil},
	} {
		for ext, pack := range map[string]func(testing.TB, string) string{"": func(_ testing.TB, s string) string { return s },
			".gz": gzipped, ".zst": zstded} {
			name := c.file + ext
			if filepath.Ext(c.file) == ".dat" && ext != "" {
				continue
			}
			got, _, err := read(put(t, name, []byte(pack(t, c.text))), c.format)
			if err != nil || !slices.Equal(got, c.want) {
				t.Errorf("%s: %.40q: %q, %v; want %q", name, c.text, got, err, c.want)
			}
		}
	}
}

// A long line is read, and an error of the caller ends the reading and is returned.
func TestLongLineAndStop(t *testing.T) {
	long := strings.Repeat("x", 3<<20)
	got, _, err := read(put(t, "a.txt", []byte("a\n\n"+long)), "")
	if err != nil || len(got) != 2 || len(got[1]) != len(long)+2 {
		t.Errorf("%d records, %v", len(got), err)
	}
	stop := errors.New("stop")
	for _, name := range []string{"a.jsonl", "a.json", "a.csv", "a.tsv", "a.txt", "a.parquet"} {
		text := map[string]string{"a.jsonl": "{}\n{}", "a.json": "[{},{}]", "a.csv": "a\nb\nc", "a.tsv": "a\nb\nc", "a.txt": "a\n\nb",
			"a.parquet": testdata(t, "snappy.parquet")}[name]
		n := 0
		err := Read(put(t, name, []byte(text)), "", func(string, ...any) {}, func(Record) error { n++; return stop })
		if err != stop || n != 1 {
			t.Errorf("%s: %d records, error %v", name, n, err)
		}
	}
}

// A file that is one document though it has many lines is pointed out.
func TestNoBlankLine(t *testing.T) {
	for text, want := range map[string]int{strings.Repeat("una frase\n", 100): 1, "a\nb\n\nc\nd\ne\nf": 0, "a\nb": 0} {
		_, notes, err := read(put(t, "a.txt", []byte(text)), "")
		if err != nil || len(notes) != want {
			t.Errorf("%.20q: notes %q, %v", text, notes, err)
		}
		if want > 0 && !strings.Contains(notes[0], `format = "lines"`) {
			t.Errorf("no way out: %s", notes[0])
		}
	}
}

// What is no data is said by what it is, where, and with the way out.
func TestFaults(t *testing.T) {
	ok := "{\"text\":\"fine\"}\n"
	for _, c := range []struct {
		name, file, text string
		line             int
		says             []string
	}{
		{"not JSON", "a.jsonl", ok + "text", 2, []string{"not JSON", `"lines"`}},
		{"cut short", "a.jsonl", ok + `{"text":"a`, 2, []string{"not JSON at byte", "complete object"}},
		{"a list", "a.jsonl", `["a"]`, 1, []string{"JSON array", `format = "json"`}},
		{"trailing", "a.jsonl", `{"text":"a"} x`, 1, []string{"not JSON at byte"}},
		{"list cut short", "a.json", "[" + ok + ",\n", 3, []string{"cut short"}},
		{"list not closed", "a.json", "[" + ok, 2, []string{"cut short"}},
		{"list of strings", "a.json", `["a"]`, 1, []string{"JSON string", "want an object"}},
		{"after the list", "a.json", "[{}] {}", 1, []string{"after the end"}},
		{"broken list", "a.json", "[{},\n{\"a\":x}]", 2, []string{"not JSON"}},
		{"null", "a.jsonl", ok + "null", 2, []string{"null, want an object"}},
		{"null in a list", "a.json", "[{},\nnull]", 2, []string{"null, want an object"}},
		{"list within", "a.json", `{"version": 1, "data": [{"text": "a"}]}`, 1, []string{"jq -c '.data[]'"}},
		{"UTF-16", "a.jsonl", "\xff\xfe{\x00", 1, []string{"UTF-16", "iconv"}},
		{"UTF-16 without mark", "a.txt", "a\n{\x00", 2, []string{"zero byte", "iconv"}},
		{"Latin-1", "a.txt", "one\ncaf\xe9\n", 2, []string{"byte 4 of the line (0xe9)", "iconv"}},
		{"Latin-1 in a list", "a.json", "[{\"a\":\"\xe9\"}]", 1, []string{"not UTF-8"}},
		{"Latin-1 in a table", "a.csv", "a\nb\n\xe9\n", 3, []string{"not UTF-8"}},
		{"more columns", "a.csv", "a,b\n1,2,3\n", 2, []string{"3 columns, the first row has 2", "in quotes"}},
		{"a quote", "a.csv", "a,b\n5\" disk,2\n", 2, []string{"quote", "doubled"}},
		{"one column twice", "a.csv", "a,a\n", 1, []string{`two columns are named "a"`}},
		{"fewer columns", "a.tsv", "a\tb\n1\n", 2, []string{"1 columns, the first row has 2"}},
		{"pointer", "a.jsonl", "version https://git-lfs.github.com/spec/v1\noid", 0, []string{"git-lfs pointer", "lfs pull"}},
		{"page", "a.csv", "\n<!DOCTYPE html><html>", 0, []string{"page of the web", "/resolve/"}},
		{"no Parquet", "a.parquet", "PAR1 and no more", 0, []string{"Parquet"}},
		{"Parquet cut short", "a.parquet", testdata(t, "snappy.parquet")[:1000], 0, []string{"Parquet"}},
		{"gzip cut short", "a.jsonl.gz", gzipped(t, strings.Repeat(ok, 1000))[:60], -1, []string{"cut short"}},
		{"zstd cut short", "a.jsonl.zst", zstded(t, strings.Repeat(ok, 100000))[:30], -1, []string{"cut short"}},
		{"zip", "a.jsonl", "PK\x03\x04", 0, []string{"archive", "unpack"}},
		{"extension", "a.dat", ok, 0, []string{`extension ".dat"`, "format ="}},
		{"xz", "a.jsonl.xz", ok, 0, []string{"unpack"}},
		{"arrow", "a.arrow", ok, 0, []string{"to_parquet"}},
		{"spreadsheet", "a.xlsx", ok, 0, []string{".csv"}},
		{"document", "a.pdf", ok, 0, []string{".txt"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			path := put(t, c.file, []byte(c.text))
			_, _, err := read(path, "")
			var e *Error
			if !errors.As(err, &e) || e.File != path || e.Line != c.line && c.line >= 0 {
				t.Fatalf("error %v, want one at line %d", err, c.line)
			}
			for _, s := range c.says {
				if !strings.Contains(err.Error(), s) {
					t.Errorf("error %q does not say %q", err, s)
				}
			}
		})
	}
	if _, _, err := read(put(t, "a.txt", nil), "yaml"); err == nil || !strings.Contains(err.Error(), `"parquet"`) {
		t.Errorf("an unknown format: %v", err)
	}
}

// Any bytes give records or an *Error, in every format.
func FuzzRead(f *testing.F) {
	for i, s := range []string{"{\"text\":\"a\"}\n", "[{\"a\":[1]},{}]", "a,b\n\"1\"\"\",2\n", "a\tb\n\"\"\t2",
		testdata(f, "snappy.parquet"), "a\r\rb\n", "a\n\nb"} {
		f.Add([]byte(s), uint8(i))
		f.Add([]byte(gzipped(f, s)), uint8(i))
		f.Add([]byte(zstded(f, s)), uint8(i))
	}
	f.Add([]byte(testdata(f, "zstd_v2.parquet")), uint8(4))
	f.Fuzz(func(t *testing.T, data []byte, which uint8) {
		path := filepath.Join(t.TempDir(), "a")
		if os.WriteFile(path, data, 0o644) != nil {
			t.Skip()
		}
		format := Formats()[int(which)%len(Formats())]
		last, count := 0, 0
		err := Read(path, format, func(string, ...any) {}, func(r Record) error {
			if r.Line < last || r.Line < 1 || r.Fields == nil && r.Text == "" && which > 5 {
				t.Fatalf("record %+v after line %d", r, last)
			}
			last = r.Line
			if count++; count > 10000 {
				return errors.New("enough")
			}
			for _, v := range r.Fields {
				if !validJSON(v) {
					t.Fatalf("%s: not JSON: %q", format, v)
				}
			}
			return nil
		})
		var e *Error
		if err != nil && !errors.As(err, &e) && err.Error() != "enough" {
			t.Fatalf("%s: %T %v", format, err, err)
		}
	})
}

func validJSON(v []byte) bool { return json.Valid(v) }
