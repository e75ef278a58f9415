package exchange

import (
	"errors"
	"sync"

	"concord/internal/step"
)

// pendingLosses are the losses of a part whose reads are not all under way yet.
type pendingLosses struct {
	issued chan struct{} // closed when they are, or when the step ends without
	whole  *bool         // they are
	once   *sync.Once    // closes issued
}

func newPendingLosses() pendingLosses {
	return pendingLosses{issued: make(chan struct{}), whole: new(bool), once: new(sync.Once)}
}

// done says that all losses are on their way, or with !whole that none comes any more.
func (p *pendingLosses) done(whole bool) {
	if p.issued != nil {
		p.once.Do(func() { *p.whole = whole; close(p.issued) })
	}
}

// lossSums prepares the sums of a part's losses by gradient row, and tells the others
// those by language. They are asked for from other goroutines, before the last loss has
// been computed.
func (d *Distributed) lossSums(p *step.Part) func() ([]float64, error) {
	pending := newPendingLosses()
	d.pending, p.Read = pending, func() { pending.done(true) }
	s := d.plan
	return sync.OnceValues(func() ([]float64, error) {
		<-pending.issued
		if !*pending.whole {
			return nil, errors.New("the step was given up")
		}
		rows, langs, row := make([]float64, len(p.Starts)-1), make([]float64, len(d.Langs)), 0
		err := p.EachLoss(func(token int, loss float64) {
			for p.Starts[row+1] <= token {
				row++
			}
			rows[row] += loss
			langs[p.Lang[token/p.SeqLen]] += loss
		})
		s.Losses(langs)
		return rows, err
	})
}
