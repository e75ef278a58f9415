package tokenizer

import (
	"strings"

	"golang.org/x/text/unicode/norm"
)

// normalizer rewrites text before it is split.
type normalizer interface {
	normalize(s string) string
}

// oneNormalizer reads a normalizer other than a Sequence.
func oneNormalizer(kind string, o *object) (normalizer, bool) {
	switch kind {
	case "NFC":
		return nfc{}, true
	case "Prepend":
		var p prepend
		o.get("prepend", &p.text, true)
		return p, true
	case "Replace":
		return parseReplace(o), true
	}
	return nil, false
}

// nfc composes characters canonically (Unicode NFC).
type nfc struct{}

func (nfc) normalize(s string) string { return norm.NFC.String(s) }

// prepend puts text before any text that is not empty.
type prepend struct{ text string }

func (p prepend) normalize(s string) string {
	if s == "" {
		return ""
	}
	return p.text + s
}

// replace puts new for every old; both a normalizer and a decoder.
type replace struct{ old, new string }

func parseReplace(o *object) replace {
	var r replace
	var regex bool
	if r.old, regex = o.parsePattern(); regex {
		o.fail(".pattern.Regex: a Replace by regular expression is not implemented")
	}
	if _, ok := o.keys["content"]; !ok {
		o.fail(".content: missing")
	}
	o.get("content", &r.new, false)
	return r
}

func (r replace) normalize(s string) string { return strings.ReplaceAll(s, r.old, r.new) }
