package protocol

// Leads say, by group as machines own them, which are slices of one resolve group: each has the
// number of the first, whose owner leads the resolve group. nil: every group is whole.
type Leads []int

// Of is the first slice of the resolve group that u is of.
func (l Leads) Of(u int) int {
	if l == nil {
		return u
	}
	return l[u]
}

// Range is the slices [from, to) of the resolve group that u is of.
func (l Leads) Range(u int) (from, to int) {
	from, to = l.Of(u), u+1
	for to < len(l) && l[to] == from {
		to++
	}
	return from, to
}

// Sliced says that u is one slice of several.
func (l Leads) Sliced(u int) bool {
	from, to := l.Range(u)
	return to-from > 1
}

// Resolved is how many resolve groups so many groups are of.
func (l Leads) Resolved(groups int) (n int) {
	for u := range groups {
		if l.Of(u) == u {
			n++
		}
	}
	return n
}
