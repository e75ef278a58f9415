package data

import "fmt"

// Example is one document, or a piece of a long one, as tokens.
type Example struct {
	IDs  []uint32
	Mask []bool // Mask[i]: token i is a target (carries loss); Mask[0] is false
	// Bytes of the text whose tokens are targets, EOS not counted. The pieces of
	// a split document share its bytes in proportion to their targets, exact in
	// the sum.
	Bytes int
}

// Positions is the number of places that the example takes in a row.
func (e *Example) Positions() int { return len(e.IDs) - 1 }

// Targets is the number of supervised tokens.
func (e *Example) Targets() int {
	n := 0
	for _, m := range e.Mask {
		if m {
			n++
		}
	}
	return n
}

// Examples is a list of examples, in memory or in a file. It may be used by several
// goroutines.
type Examples interface {
	Len() int
	Positions(i int) int       // of example i, without reading it
	At(i int) (Example, error) // the caller's to keep
}

// List is a list of examples in memory.
type List []Example

// Len is the number of examples.
func (l List) Len() int { return len(l) }

// Positions is the number of places that example i takes in a row.
func (l List) Positions(i int) int { return l[i].Positions() }

// At is example i; it shares the list's memory.
func (l List) At(i int) (Example, error) { return l[i], nil }

// Spread is n examples of all at even distances; all of them if there are no more, or
// if n is 0.
func Spread(all Examples, n int) Examples {
	if n <= 0 || size(all) <= n {
		return all
	}
	p := picked{all: all, index: make([]int, n)}
	for i := range p.index {
		p.index[i] = i * all.Len() / n
	}
	return p
}

// First is the first n examples of all, or all of them if n is 0.
func First(all Examples, n int) Examples {
	if n <= 0 || size(all) <= n {
		return all
	}
	p := picked{all: all, index: make([]int, n)}
	for i := range p.index {
		p.index[i] = i
	}
	return p
}

// picked is some examples of a list.
type picked struct {
	all   Examples
	index []int
}

func (p picked) Len() int                  { return len(p.index) }
func (p picked) Positions(i int) int       { return p.all.Positions(p.index[i]) }
func (p picked) At(i int) (Example, error) { return p.all.At(p.index[i]) }

// size is the number of examples; a list that is not there has none.
func size(e Examples) int {
	if e == nil {
		return 0
	}
	return e.Len()
}

// checkLengths wants every example to fit a row.
func checkLengths(lang string, examples Examples, seqLen int) error {
	for i := range size(examples) {
		n := examples.Positions(i)
		if n > seqLen {
			return fmt.Errorf("data: %s: an example has %d tokens, a row %d: set max_len to at most seq_len", lang, n, seqLen)
		}
		if n < 1 {
			return fmt.Errorf("data: %s: an example needs two tokens or more", lang)
		}
	}
	return nil
}
