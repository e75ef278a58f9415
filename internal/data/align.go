package data

import (
	"cmp"
	"encoding/json"
	"fmt"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"concord/internal/records"
)

// Aligned batches put translations of the same examples into one step: the part that languages'
// gradients have in common because of the content then cancels in their differences, and
// the rest is language. Every language has the same number of rows in every step.
//
// Examples are put together once, by the seed: a block is the examples of some keys, for
// each language in its rows of one step. An epoch is all blocks in an order of its own;
// examples that are together in a block stay so.

// Alignment is the result of aligning. Keys that a language lacks are read in none.
type Alignment struct {
	Shared int   // keys that every language has, all of them used but for those in Long
	Long   int   // of these, keys whose examples do not fit a language's rows of one step
	Keys   []int // by language: of its training examples
	Blocks int   // steps of an epoch
}

// Alignment is nil where languages are read each by itself.
func (s *Sampler) Alignment() *Alignment { return s.aligned }

// together is a mixing with the same number of rows of each language in every step.
type together struct{ langs, block int }

func (x together) rowsBefore(step int) []int { return slices.Repeat([]int{step * x.block}, x.langs) }

func (x together) expected(steps int) []float64 { return floats(x.rowsBefore(steps)) }

// align makes the streams those of aligned rows.
func (s *Sampler) align() error {
	n := len(s.streams)
	switch {
	case s.opt.Temperature != 1:
		return fmt.Errorf("data: aligned languages are all read alike: temperature %v has no part in it; remove it", s.opt.Temperature)
	case s.opt.Mixing == IID:
		return fmt.Errorf("data: aligned languages are in every step together: mixing %q is the opposite; remove the one or the other", IID)
	case s.opt.Rows%n != 0:
		return fmt.Errorf("data: %d rows of a step (batch.rows × batch.accumulate) cannot be divided evenly among %d aligned "+
			"languages: make it %d or %d",
			s.opt.Rows, n, max(1, s.opt.Rows/n)*n, (s.opt.Rows/n+1)*n)
	}
	units, err := s.units()
	if err != nil {
		return err
	}
	packs := s.packBlocks(units, s.opt.Rows/n)
	s.aligned.Blocks = packs[0].rows() / (s.opt.Rows / n)
	if s.aligned.Blocks == 0 {
		return fmt.Errorf("data: none of %d aligned examples fits one step's rows in every language: more batch.rows, or a "+
			"smaller data.max_len", s.aligned.Shared)
	}
	for m, t := range s.streams {
		t.packing, t.block = packs[m], s.opt.Rows/n
	}
	s.mixing = together{n, s.opt.Rows / n}
	s.share()
	return nil
}

// units lists, for every key that all languages have, its examples by language, in the
// first language's order.
func (s *Sampler) units() ([][][]uint32, error) {
	s.aligned = &Alignment{}
	of := make([]map[uint64][]uint32, len(s.streams))
	var names []string
	for m, t := range s.streams {
		names = append(names, t.lang)
		if len(t.keys) != t.examples.Len() {
			return nil, fmt.Errorf("data: %s: %d of %d examples have a key: aligned languages need one for each", t.lang, len(t.keys),
				t.examples.Len())
		}
		of[m] = map[uint64][]uint32{}
		for i, k := range t.keys {
			of[m][k] = append(of[m][k], uint32(i))
		}
		s.aligned.Keys = append(s.aligned.Keys, len(of[m]))
	}
	var out [][][]uint32
	done := map[uint64]bool{}
	for _, k := range s.streams[0].keys {
		unit := make([][]uint32, 0, len(of))
		for m := range of {
			if x := of[m][k]; x != nil && !done[k] {
				unit = append(unit, x)
			}
		}
		done[k] = true
		if len(unit) == len(of) {
			out = append(out, unit)
		}
	}
	s.aligned.Shared = len(out)
	if len(out) == 0 {
		return nil, fmt.Errorf("data: no key is in all aligned languages (%s): translations of an example need the same key",
			strings.Join(names, ", "))
	}
	return out, nil
}

// openBlocks is how many blocks are filled at one time.
const openBlocks = 32

// openBlock is a block that is being filled.
type openBlock struct {
	room [][]int      // left, by language and row
	rows [][][]uint32 // examples, by language and row
	used int          // positions
}

// packBlocks puts the units, in an order drawn by the seed, each into the fullest open
// block that has room in every language.
func (s *Sampler) packBlocks(units [][][]uint32, block int) []*packing {
	order := make([]uint32, len(units))
	for i := range order {
		order[i] = uint32(i)
	}
	newRandom(s.opt.Seed, "blocks", 0).shuffle(order)
	packs := make([]*packing, len(s.streams))
	for m := range packs {
		packs[m] = &packing{starts: []uint32{0}}
	}
	var open []*openBlock
	for _, u := range order {
		placed := false
		for _, b := range open { // the fullest first
			if placed = s.put(b, units[u]); placed {
				break
			}
		}
		if !placed {
			b := s.newBlock(block)
			if !s.put(b, units[u]) {
				s.aligned.Long++
				continue
			}
			open = append(open, b)
		}
		slices.SortStableFunc(open, func(a, b *openBlock) int { return cmp.Compare(b.used, a.used) })
		if len(open) > openBlocks {
			s.close(open[0], packs)
			open = open[1:]
		}
	}
	for _, b := range open {
		s.close(b, packs)
	}
	return packs
}

func (s *Sampler) newBlock(block int) *openBlock {
	b := &openBlock{}
	for range s.streams {
		b.room = append(b.room, slices.Repeat([]int{s.opt.SeqLen}, block))
		b.rows = append(b.rows, make([][]uint32, block))
	}
	return b
}

// put adds a unit's examples to a block, each to the first row of its language that has
// room; false, and nothing is added, where one has none.
func (s *Sampler) put(b *openBlock, unit [][]uint32) bool {
	type place struct{ m, row, n int }
	var places []place
	undo := func() {
		for _, p := range places {
			b.room[p.m][p.row] += p.n
		}
	}
	for m, examples := range unit {
		for _, x := range examples {
			n := s.streams[m].examples.Positions(int(x))
			row := slices.IndexFunc(b.room[m], func(room int) bool { return room >= n })
			if row < 0 {
				undo()
				return false
			}
			b.room[m][row] -= n
			places = append(places, place{m, row, n})
		}
	}
	i := 0
	for m, examples := range unit {
		for _, x := range examples {
			b.rows[m][places[i].row] = append(b.rows[m][places[i].row], x)
			b.used += places[i].n
			i++
		}
	}
	return true
}

// close writes a block's rows.
func (s *Sampler) close(b *openBlock, packs []*packing) {
	for m, p := range packs {
		for _, row := range b.rows[m] {
			for _, x := range row {
				p.slots = append(p.slots, uint32(len(p.order)))
				p.order = append(p.order, x)
				p.tokens += s.streams[m].examples.Positions(int(x))
			}
			p.starts = append(p.starts, uint32(len(p.slots)))
		}
	}
}

// keyOf is the text of a key column: a string or a number. Where it is optional it may
// be missing.
func keyOf(f fields, column string, optional bool) (string, error) {
	raw, ok := f[column]
	if !ok || isNull(raw) {
		if optional {
			return "", nil
		}
		return "", fmt.Errorf("no key: the column %q that names each example for data.align is not there or null", column)
	}
	if c := first(raw); c != '"' && c != '-' && (c < '0' || c > '9') {
		return "", fmt.Errorf("the key in column %q is neither a string nor a number, but %.40s", column, raw)
	}
	if first(raw) != '"' {
		return strings.TrimSpace(string(raw)), nil
	}
	var text string
	if err := json.Unmarshal(raw, &text); err != nil || text == "" {
		return "", fmt.Errorf("the key in column %q: %w", column, errOr(err, "it is empty"))
	}
	return text, nil
}

// lineFormats are those in which a line, or a row, is a document.
var lineFormats = []string{"lines", "jsonl", "parquet"}

// lineKey makes the key of a line of a file: its number, with that of the file among the
// source's. "" where lines are no keys.
func (f *fileSet) lineKey(path string) (func(line int) string, error) {
	none := func(int) string { return "" }
	format, err := records.FormatOf(path, f.format)
	switch plain := format == "text" || format == "lines"; {
	case err != nil || f.recogniser.key == "":
		return none, nil // a format that is not known is refused where it is read
	case f.recogniser.key != KeyLine && plain && !f.keyOptional:
		return nil, &Error{File: path, Msg: fmt.Sprintf("plain text has no column %q to align by: align = \"line\" for files of "+
			"parallel lines (format = \"lines\")", f.recogniser.key)}
	case f.recogniser.key != KeyLine:
		return none, nil
	case !slices.Contains(lineFormats, format) && f.keyOptional:
		return none, nil
	case !slices.Contains(lineFormats, format):
		return nil, &Error{File: path, Msg: fmt.Sprintf("a document of format %q is not a line: align = \"line\" is for %s; align = "+
			"\"key\" for the others", format, quoted(lineFormats))}
	}
	prefix := strconv.Itoa(slices.Index(f.paths, path)) + ":"
	return func(line int) string { return prefix + strconv.Itoa(line) }, nil
}

// addKey notes the key of a training document that was just added; a language has one
// document of a key.
func (s *loading) addKey(d *tokenised, file string) error {
	if s.keyAt == nil {
		s.keyAt = map[fingerprint]heldDoc{}
	}
	if before, twice := s.keyAt[d.group]; twice {
		return &Error{File: file, Line: int(d.line), Msg: fmt.Sprintf("%s has this key before, in %s:%d: translations are told by "+
			"their key, so a language has one document of each; keys must be distinct",
			s.set.Lang, filepath.Base(before.file), before.line)}
	}
	s.keyAt[d.group] = heldDoc{d.content, file, int(d.line)}
	for range d.lengths {
		s.set.Keys = append(s.set.Keys, uint64(d.group))
	}
	return nil
}
