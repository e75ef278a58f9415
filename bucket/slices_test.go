package bucket

import (
	"testing"
)

// A layout's slices follow one another without a gap, at multiples of sliceAlign in their groups,
// and are of nearly equal size; groups that may not be cut are whole.
func TestSlices(t *testing.T) {
	l := Layout{}
	for _, size := range []int{64, 1000064, 256, 640, 3 << 20} {
		l.Groups = append(l.Groups, ResolveGroup{Size: size})
	}
	for _, most := range []int{0, 1, 256, 1000, 1 << 30} {
		all := l.Slices(most, func(i int) bool { return i != 3 })
		group, at := 0, 0
		for k, s := range all {
			if s.Group == group+1 && at == l.Groups[group].Size {
				group, at = s.Group, 0
			}
			if s.Group != group || s.From != at || s.From%sliceAlign != 0 || s.Size() <= 0 {
				t.Fatalf("most %d: slice %d is %+v, after %d of group %d", most, k, s, at, group)
			}
			if at = s.To; s.Group == 3 && s.Size() != 640 {
				t.Errorf("most %d: group 3 may not be cut: %+v", most, s)
			}
			if limit := max(most, sliceAlign); most > 0 && s.Group != 3 && s.Size() > limit+sliceAlign {
				t.Errorf("most %d: %+v has %d elements", most, s, s.Size())
			}
		}
		if group != len(l.Groups)-1 || at != l.Groups[group].Size {
			t.Errorf("most %d: the slices end at %d of group %d", most, at, group)
		}
	}
	if n := len(l.Slices(0, func(int) bool { return true })); n != 1+8+1+1+24 {
		t.Errorf("%d slices by themselves", n)
	}
	for i, s := range l.WholeGroups() {
		if s != (Slice{i, 0, l.Groups[i].Size}) {
			t.Errorf("group %d: %+v", i, s)
		}
	}
}

// Parts of parameters fill their slices, each value once, and know their padding.
func TestSliceParts(t *testing.T) {
	e := testEngine(t)
	s := newModel(t, e, true).store("global")
	defer s.Release()
	for i, u := range s.Layout.Groups {
		seen, values := make([]bool, u.Size), 0
		for _, x := range s.Layout.Slices(sliceAlign, func(int) bool { return true }) {
			for p := range s.Layout.partsOf(x) {
				if x.Group != i {
					continue
				}
				for k := range p.hi - p.lo {
					at := x.From + p.at + k
					if at >= x.To || seen[at] {
						t.Fatalf("%s: element %d of group %d twice, or not in %+v", p.Name, at, i, x)
					}
					seen[at] = true
				}
				values += p.n
			}
		}
		want := 0
		for p := range s.Layout.PlacesOf(i) {
			want += p.R * p.LD()
		}
		if values != want {
			t.Errorf("group %d has %d values, not %d", i, values, want)
		}
	}
}
