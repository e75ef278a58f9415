package train

import (
	"errors"

	"concord/gpu"
)

// unbounded is more memory than any card has.
const unbounded = 1 << 50

// maxPlannedRows bounds the search for the largest batch.
const maxPlannedRows = 4096

// peak is the memory of a run.
type peak struct {
	gpu.Memory
	host int64 // of the states before a step
}

// knownPeaks are the peaks that were measured for one run file: cards differ in their size,
// and a run takes nearly the same memory of each.
type knownPeaks map[peakKey]peak

// peakKey has all that a run's peak depends on, of the settings that a plan changes and of
// the card.
type peakKey struct {
	card                              gpu.AdapterType
	limits                            gpu.Limits
	chunk                             int64 // of the logits, as far as it follows the card's memory
	rows, accumulate, logits, flights int
	checkpointing                     bool
	gram                              string
}

// chunkShare is the part of a card's memory that device.LogitsChunk gives the logits at most,
// up to chunkMost.
const (
	chunkShare = 32
	chunkMost  = 128 << 20
)

// longSearch is how many times the run's rows are planned with one step: the second one adds
// the reads of the first that it waits for, which are small beside so many rows.
const longSearch = 4

// slack is how much less a run may take where its memory is scarce: idle staging buffers
// are given back then.
const slack = 8 << 20

// measure is try on a card that refuses nothing, made once.
func (p *Planner) measure(c Card, rows int) (peak, error) {
	b := p.cfg.Batch
	key := peakKey{card: c.Type, limits: c.Limits, chunk: min(c.Memory/chunkShare, chunkMost), rows: rows, accumulate: b.Accumulate,
		logits: b.LogitsChunk, flights: p.cfg.Objective.InFlight, checkpointing: p.cfg.Memory.Checkpointing, gram: string(p.cfg.Objective.Gram)}
	if m, ok := (*p.known)[key]; ok {
		return m, nil
	}
	m, err := p.dry(c, rows, true)
	if err == nil {
		(*p.known)[key] = m
	}
	return m, err
}

// PlannedPeak is the peak that a plan says of the trainer's run on its device, 0 where it is
// not known: on many machines, whose shares change.
func (t *Trainer) PlannedPeak() int64 {
	if t.cfg.Clustered() {
		return 0
	}
	p := &Planner{cfg: t.cfg, corpus: t.corpus, known: &knownPeaks{}}
	m, err := p.measure(cardOf(t.Engine), t.cfg.Batch.Rows)
	if err != nil {
		return 0
	}
	return m.Peak
}

// fits says whether so many rows fit the card, and the memory that they take.
func (p *Planner) fits(c Card, rows int) (bool, peak, error) {
	m, err := p.measure(c, rows)
	if err != nil || m.Peak <= c.Memory || m.Peak > c.Memory+slack {
		return err == nil && m.Peak <= c.Memory, m, err
	}
	scarce, err := p.try(c, rows)
	if errors.Is(err, gpu.ErrOutOfMemory) {
		return false, m, nil
	}
	return err == nil, scarce, err
}

// mostRows is the largest batch.rows that fits, between two that were measured and by a
// straight line through them: exact up to 32 rows, within 3 % above.
func (p *Planner) mostRows(c Card, at MemoryPlan) (int, error) {
	lo, hi, loPeak, hiPeak := 0, maxPlannedRows+1, int64(0), int64(0)
	look := func(rows int) error {
		ok, m, err := p.fits(c, rows)
		switch {
		case errors.Is(err, errTooLarge) || errors.Is(err, gpu.ErrOutOfMemory):
			hi, hiPeak = rows, 0
		case err != nil:
			return err
		case ok:
			lo, loPeak = rows, m.Peak
		default:
			hi, hiPeak = rows, m.Peak
		}
		return nil
	}
	if err := look(at.Rows); err != nil {
		return 0, err
	}
	for step := 1; hi-lo > max(1, lo/32); step++ { // among many rows a few do not matter
		next := (lo + hi) / 2
		switch {
		case hiPeak == 0 && hi > maxPlannedRows:
			next = min(max(2*lo, 1), maxPlannedRows)
		case loPeak > 0 && hiPeak > loPeak && step%3 > 0:
			next = lo + int(float64(hi-lo)*float64(c.Memory-loPeak)/float64(hiPeak-loPeak))
			next = min(max(next, lo+max(1, lo/64)), hi-1)
		}
		if err := look(next); err != nil {
			return 0, err
		}
	}
	return lo, nil
}
