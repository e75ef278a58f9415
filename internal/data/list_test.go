package data

import (
	"math"
	"os"
	"path/filepath"
	"runtime"
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
	if list > 8.5 || packing > 16.5 {
		t.Errorf("an example takes %.1f bytes in its list and %.1f in the packing: want 8 and 16", list, packing)
	}
}
