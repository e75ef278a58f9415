package data

import (
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"testing"
)

// Places beyond 32 bits, and lists of several files, are found again.
func TestPlaces(t *testing.T) {
	a, b := &tokenFile{}, &tokenFile{}
	var l fileExamples
	far := int64(3 * math.MaxUint32)
	l.add(a, 10, []uint32{5, 6})
	l.add(a, far, []uint32{7})
	l.add(b, 0, []uint32{8, 9})
	l.add(a, far+100, []uint32{3})
	want := []struct {
		file  *tokenFile
		place int64
	}{{a, 10}, {a, 10 + 5 + extraWords}, {a, far}, {b, 0}, {b, 8 + extraWords}, {a, far + 100}}
	for i, w := range want {
		k := 0
		for k+1 < len(l.stretches) && l.stretches[k+1].first <= i {
			k++
		}
		if s := l.stretches[k]; s.file != w.file || s.place+int64(l.at[i]) != w.place {
			t.Errorf("example %d is at %d", i, s.place+int64(l.at[i]))
		}
	}
	if len(l.stretches) != 4 || l.Len() != len(want) || l.Positions(5) != 2 {
		t.Errorf("%d stretches, %d examples", len(l.stretches), l.Len())
	}
}

// Two sources of a language are one list; every example is read from its file.
func TestListOfTwoFiles(t *testing.T) {
	dir := t.TempDir()
	var sources []Source
	for i, text := range []string{"aa\nb\nccc", "dddd\nee"} {
		path := filepath.Join(dir, string(rune('x'+i))+".txt")
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		sources = append(sources, Source{Lang: "x", Paths: []string{path}, Format: "lines", Train: true})
	}
	sets, err := LoadAll(sources, byteTokenizer(t), Options{MaxLen: 16})
	if err != nil {
		t.Fatal(err)
	}
	got := ""
	for i := range sets[0].Train.Len() {
		x, err := sets[0].Train.At(i)
		if err != nil {
			t.Fatal(err)
		}
		got += byteTokenizer(t).Decode(x.IDs, true) + " "
	}
	if got != "aa b ccc dddd ee " {
		t.Errorf("%q", got)
	}
}

// blank are examples of so many positions, of which there is nothing else.
type blank struct{ n, positions int }

func (l blank) Len() int                { return l.n }
func (l blank) Positions(int) int       { return l.positions }
func (l blank) At(int) (Example, error) { return Example{}, nil }

// Bytes that an example takes, in its list and in the packing, where each fills a row: the
// memory of a large data set is that and little else (docs/data.md).
func TestBytesOfAnExample(t *testing.T) {
	const n = 1 << 20
	held := func(f func() any) float64 {
		var before, after runtime.MemStats
		runtime.GC()
		runtime.ReadMemStats(&before)
		x := f()
		runtime.GC() // under the race detector growing a slice allocates twice
		runtime.ReadMemStats(&after)
		runtime.KeepAlive(x)
		return (float64(after.HeapAlloc) - float64(before.HeapAlloc)) / n
	}
	list := held(func() any {
		var l fileExamples
		l.grow(n)
		file, pieces := &tokenFile{}, []uint32{512}
		for i := range n {
			l.add(file, int64(i)*514, pieces)
		}
		return &l
	})
	packing := held(func() any { return pack(blank{n, 511}, 511) })
	t.Logf("%.2f bytes in the list, %.2f in the packing", list, packing)
	if list > 8.5 || packing > 4.5 {
		t.Errorf("an example takes %.1f bytes in its list and %.1f in the packing: want 8 and 4", list, packing)
	}
	epoch := held(func() any {
		x := &stream{packing: pack(blank{n, 511}, 511), epoch: -1}
		x.rowOf(0)
		if most := n + n/50; cap(x.bins) > most || cap(x.slots) > most {
			t.Errorf("an epoch's order was made in lists of %d and %d for %d rows", cap(x.bins), cap(x.slots), n)
		}
		return x
	})
	if epoch > 12.5 {
		t.Errorf("an example takes %.1f bytes in the packing and an epoch's order: want 12", epoch)
	}
}

// sized are examples of these numbers of positions.
type sized []int

func (l sized) Len() int                { return len(l) }
func (l sized) Positions(i int) int     { return l[i] }
func (l sized) At(int) (Example, error) { return Example{}, nil }

// Rows that are not listed, as nothing else fits into them, are those of the rule: longest first,
// each into the fullest row that has room, the latest of equal ones.
func TestPackIsBestFit(t *testing.T) {
	for seed := range uint64(200) {
		r := rand.New(rand.NewPCG(seed, 1))
		shortest, n := 1+r.IntN(12), r.IntN(60)
		all := make(sized, n)
		for i := range all {
			if all[i] = 32; r.IntN(2) == 0 {
				all[i] = shortest + r.IntN(33-shortest)
			}
		}
		p := pack(all, 32)
		var want [][]uint32
		var room []int
		var opened []int // when a row got the room that it has
		for slot, i := range p.order {
			best := -1
			for k := range want {
				if room[k] >= all[i] && (best < 0 || room[k] < room[best] || room[k] == room[best] && opened[k] > opened[best]) {
					best = k
				}
			}
			if best < 0 {
				best, want, room, opened = len(want), append(want, nil), append(room, 32), append(opened, 0)
			}
			want[best], room[best], opened[best] = append(want[best], uint32(slot)), room[best]-all[i], slot
		}
		got := make([][]uint32, p.rows())
		for i := range got {
			got[i] = p.row(i)
		}
		if !slices.EqualFunc(got, want, slices.Equal) {
			t.Fatalf("seed %d: %v are packed as %v, want %v", seed, all, got, want)
		}
	}
}
