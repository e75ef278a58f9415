package jinja

// loop is the variable of that name within a for.
type loop struct {
	items []Value
	at    int
	last  Value // the argument of changed the time before
	asked bool
}

func (l *loop) member(name string) (Value, bool) {
	n := len(l.items)
	switch name {
	case "index":
		return int64(l.at + 1), true
	case "index0":
		return int64(l.at), true
	case "revindex":
		return int64(n - l.at), true
	case "revindex0":
		return int64(n - l.at - 1), true
	case "first":
		return l.at == 0, true
	case "last":
		return l.at == n-1, true
	case "length":
		return int64(n), true
	case "depth":
		return int64(1), true
	case "depth0":
		return int64(0), true
	case "previtem":
		if l.at > 0 {
			return l.items[l.at-1], true
		}
	case "nextitem":
		if l.at < n-1 {
			return l.items[l.at+1], true
		}
	case "cycle":
		return &function{"cycle", func(c *call) Value {
			if len(c.pos) == 0 {
				fail(c.line, "cycle without items")
			}
			return c.pos[l.at%len(c.pos)]
		}}, true
	case "changed":
		return &function{"changed", func(c *call) Value {
			now := NewList(c.pos...)
			same := l.asked && equal(l.last, now)
			l.last, l.asked = now, true
			return !same
		}}, true
	}
	return nil, false
}
