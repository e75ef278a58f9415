package tokenizer

// normalizer rewrites text before it is split.
type normalizer interface {
	normalize(v view) view
}

// normalizeAll runs text through all normalizers.
func normalizeAll(v view, all []normalizer) view {
	for _, n := range all {
		v = n.normalize(v)
	}
	return v
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

// prepend puts text before any text that is not empty.
type prepend struct{ text string }

func (p prepend) normalize(v view) view {
	e := editor{src: v}
	if v.text != "" {
		e.insert(p.text)
	}
	return e.view()
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

func (r replace) normalize(v view) view {
	e := editor{src: v}
	replaceAll(&e, r.old, r.new)
	return e.view()
}
