package data

import "slices"

// fileExamples is a list of examples that lie in token files.
type fileExamples struct {
	files []*tokenFile
	file  []uint16      // of each example; nil: all lie in files[0]
	at    []uint64      // place in its file
	n     []uint32      // tokens
	names []fingerprint // of their documents' texts; nil where none are kept
}

// Len is the number of examples.
func (l *fileExamples) Len() int { return len(l.at) }

// Positions is the number of places that example i takes in a row.
func (l *fileExamples) Positions(i int) int { return int(l.n[i]) - 1 }

// At reads example i.
func (l *fileExamples) At(i int) (Example, error) {
	f := 0
	if l.file != nil {
		f = int(l.file[i])
	}
	return l.files[f].example(int64(l.at[i]), int(l.n[i]))
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

// add appends the examples of a document at a place of a file.
func (l *fileExamples) add(t *tokenFile, at int64, lengths []uint32) {
	f := len(l.files) - 1
	if f < 0 || l.files[f] != t {
		l.files = append(l.files, t)
		if f++; f == 1 {
			l.file = make([]uint16, len(l.at))
		}
	}
	for _, n := range lengths {
		l.at, l.n = append(l.at, uint64(at)), append(l.n, n)
		if l.file != nil {
			l.file = append(l.file, uint16(f))
		}
		at += int64(n) + extraWords
	}
}
