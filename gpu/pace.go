package gpu

import "time"

// dispatchCost is the rough fixed time of one dispatch.
const dispatchCost = 20 * time.Microsecond

// Bounds of one dispatch, see MaxWork.
const (
	dispatchTarget    = 100 * time.Millisecond // on a GPU
	dispatchTargetCPU = time.Second            // no system watches a software rasterizer
	unlearnedRate     = 5e10                   // of a slow GPU
	leastWork         = 5e8                    // splitting further costs more than it helps
)

// MaxWork is how many float operations one dispatch should do at most, so that it
// stays far below the 2 s after which Windows ends a GPU's job: work that is predicted
// to take 100 ms, on a software rasterizer 1 s. Before the rate is known it is that
// of a slow GPU. The value changes as the rate is learned: a caller splits its work
// only where that leaves the results' bits alone.
func (d *Device) MaxWork() int64 {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.stream.pace.maxWork(d.info.Type)
}

func (p *pace) maxWork(t AdapterType) int64 {
	target, rate := dispatchTarget, p.rate
	if t == CPU {
		target = dispatchTargetCPU
	} else if !p.learned {
		rate = min(rate, unlearnedRate)
	}
	return int64(min(max(rate*target.Seconds(), leastWork), 1e18))
}

// load is the cost of commands: float operations, and time that does not depend on
// the adapter's speed in them.
type load struct {
	work  float64
	fixed time.Duration
}

func (l load) plus(m load) load { return load{l.work + m.work, l.fixed + m.fixed} }

// pace predicts the time of commands from the measured rate of earlier ones. It is
// pure bookkeeping: a wrong prediction costs speed, never correctness.
type pace struct {
	rate  float64 // float operations per second
	queue []submit
	last  time.Time // when the last completion was seen
	exact bool      // it was seen as it happened
	// learned says that rate was measured, or that the true one is no lower.
	learned bool
}

// submit is one that is in flight.
type submit struct {
	at   time.Time
	load load
}

func (p *pace) init(t AdapterType) {
	switch t {
	case Discrete:
		p.rate = 1e12
	case CPU:
		p.rate = 4e9
	default:
		p.rate = 1e11
	}
}

func (p *pace) time(l load) time.Duration {
	return l.fixed + time.Duration(min(l.work/p.rate, 1e6)*float64(time.Second))
}

func (p *pace) submitted(l load) { p.queue = append(p.queue, submit{time.Now(), l}) }

// behind is the predicted time of all that is in flight.
func (p *pace) behind() time.Duration {
	var t time.Duration
	for _, s := range p.queue {
		t += p.time(s.load)
	}
	return t
}

// completed learns from the n oldest submits, which completed by now. exact says
// that the caller looked often enough to know when. Otherwise the time is only an
// upper bound, and the rate may only rise.
func (p *pace) completed(n int, now time.Time, exact bool) {
	n = min(n, len(p.queue))
	if n == 0 {
		return
	}
	begin := p.queue[0].at
	known := exact && (p.exact || begin.After(p.last))
	if p.last.After(begin) {
		begin = p.last
	}
	var sum load
	for _, s := range p.queue[:n] {
		sum = sum.plus(s.load)
	}
	p.queue = append(p.queue[:0], p.queue[n:]...)
	p.last, p.exact = now, exact
	p.learn(sum, now.Sub(begin), known)
}

func (p *pace) learn(l load, span time.Duration, known bool) {
	const least = time.Millisecond // below, a time says little
	if l.work <= 0 {
		return
	}
	if span < least {
		span, known = least, false
	}
	rate := l.work / max(span-l.fixed, span/2).Seconds()
	p.learned = p.learned || known || rate > p.rate
	switch {
	case rate > p.rate:
		p.rate += 0.3 * (min(rate, 8*p.rate) - p.rate)
	case known:
		p.rate += 0.5 * (max(rate, p.rate/8) - p.rate)
	}
}
