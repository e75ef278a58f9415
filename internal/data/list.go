package data

import (
	"math"
	"slices"
)

// fileExamples is a list of examples that lie in token files: 8 bytes each.
type fileExamples struct {
	stretches []stretch
	at        []uint32      // place of each example in its file, from that of its stretch
	n         []uint32      // tokens
	names     []fingerprint // of their documents' texts; nil where none are kept
}

// stretch is examples of one file, in its order, from first on.
type stretch struct {
	first int
	file  *tokenFile
	place int64
}

// Len is the number of examples.
func (l *fileExamples) Len() int { return len(l.at) }

// Positions is the number of places that example i takes in a row.
func (l *fileExamples) Positions(i int) int { return int(l.n[i]) - 1 }

// At reads example i.
func (l *fileExamples) At(i int) (Example, error) {
	k, found := slices.BinarySearchFunc(l.stretches, i, func(s stretch, i int) int { return s.first - i })
	if !found {
		k--
	}
	s := l.stretches[k]
	return s.file.example(s.place+int64(l.at[i]), int(l.n[i]))
}

// grow makes room for n more examples.
func (l *fileExamples) grow(n int) {
	l.at, l.n = slices.Grow(l.at, n), slices.Grow(l.n, n)
}

// name is that of the example's document.
func (l *fileExamples) name(i int) fingerprint { return l.names[i] }

// addNamed is add of examples that may be sampled.
func (l *fileExamples) addNamed(t *tokenFile, at int64, d *tokenised) {
	l.add(t, at, d.lengths)
	for range d.lengths {
		l.names = append(l.names, d.content)
	}
}

// add appends the examples of a document at a place of a file, which comes after those that
// are there of the file.
func (l *fileExamples) add(t *tokenFile, at int64, lengths []uint32) {
	for _, n := range lengths {
		k := len(l.stretches) - 1
		if k < 0 || l.stretches[k].file != t || at-l.stretches[k].place > math.MaxUint32 {
			l.stretches = append(l.stretches, stretch{len(l.at), t, at})
			k++
		}
		l.at, l.n = append(l.at, uint32(at-l.stretches[k].place)), append(l.n, n)
		at += int64(n) + extraWords
	}
}
