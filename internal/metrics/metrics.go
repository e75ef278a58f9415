// Package metrics shows a run to a Prometheus server: figures from the run's records and
// from its coordinator's status, in the text exposition format, version 0.0.4.
//
// A Set takes records as they come; Serve answers GET /metrics. It is written by hand,
// as the format is a page long and the client library would add 20 packages.
package metrics

import (
	"fmt"
	"io"
	"math"
	"slices"
	"strconv"
	"strings"
	"sync"

	"concord/internal/cluster/coordinator"
	"concord/internal/report"
)

// Set has the figures of a process's run. It is safe for concurrent use: Observe never
// waits for a reader for longer than a copy takes.
type Set struct {
	// Version is the program's.
	Version string
	// Status is the run as its coordinator sees it; false where this process leads none.
	Status func() (coordinator.Status, bool)

	mu     sync.Mutex
	totals totals
	step   *report.Step
	evals  map[string]report.EvalRow // by language
}

// totals are sums since the process began.
type totals struct {
	steps, seconds, tokens, supervised, waited, sent, received, missing, masked float64
}

// Observe takes a record of the run; records that say nothing here are passed over.
func (s *Set) Observe(record any) {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch r := record.(type) {
	case report.Step:
		t, before := &s.totals, r.Step-1
		if s.step != nil {
			before = min(before, s.step.Step) // an outer step is several
		}
		s.step = &r
		t.steps += float64(r.Step - before)
		t.seconds += r.Seconds
		t.tokens += float64(r.Tokens)
		t.masked += float64(len(r.Masked))
		for _, n := range r.TokensByLang {
			t.supervised += float64(n)
		}
		if x := r.Exchange; x != nil {
			t.waited, t.sent, t.received = t.waited+x.Exposed, t.sent+float64(x.SentBytes), t.received+float64(x.ReceivedBytes)
			t.missing += float64(len(x.Missing))
		}
	case report.Eval:
		s.evals = map[string]report.EvalRow{}
		for _, row := range r.Rows {
			s.evals[row.Lang] = row
		}
	}
}

// Write writes all figures. Those that are not known yet are left out.
func (s *Set) Write(w io.Writer) error {
	p := &page{}
	p.family("concord_build_info", "gauge", "The program's version; always 1.")
	p.sample("concord_build_info", 1, "version", s.Version)
	s.mu.Lock()
	s.writeTotals(p)
	s.writeStep(p)
	s.writeEvals(p)
	s.mu.Unlock()
	if s.Status != nil {
		if status, ok := s.Status(); ok {
			writeStatus(p, status)
		}
	}
	_, err := io.WriteString(w, p.b.String())
	return err
}

func (s *Set) writeTotals(p *page) {
	t := s.totals
	p.one("concord_steps_made_total", "counter", "Steps made by this process.", t.steps)
	p.one("concord_step_seconds_total", "counter", "Seconds in these steps.", t.seconds)
	p.one("concord_tokens_total", "counter", "Tokens of the whole batches of these steps, padding not counted.", t.tokens)
	p.one("concord_supervised_tokens_total", "counter", "Of those, tokens that carried loss.", t.supervised)
	p.one("concord_masked_languages_total", "counter", "Languages left out of a step because their gradient or loss was not finite.", t.masked)
	if s.step == nil || s.step.Exchange == nil {
		return
	}
	p.one("concord_exchange_wait_seconds_total", "counter",
		"Seconds in which this machine waited for others with nothing else to do.", t.waited)
	p.one("concord_exchange_sent_bytes_total", "counter", "Bytes sent to other machines for steps.", t.sent)
	p.one("concord_exchange_received_bytes_total", "counter", "Bytes received from other machines for steps.", t.received)
	p.one("concord_exchange_missing_total", "counter", "Rows of machines that a step was made without.", t.missing)
}

func (s *Set) writeStep(p *page) {
	r := s.step
	if r == nil {
		return
	}
	p.one("concord_step", "gauge", "Steps of the run that are done.", float64(r.Step))
	p.one("concord_steps", "gauge", "Steps of the whole run.", float64(r.Steps))
	p.one("concord_last_step_seconds", "gauge", "Seconds of the last step.", r.Seconds)
	p.one("concord_learning_rate", "gauge", "Learning rate of the last step.", float64(r.LR))
	p.one("concord_gradient_norm", "gauge", "Norm of the last step's combined gradient, before clipping.", float64(r.GradNorm))
	p.one("concord_conflicting_pairs", "gauge", "Pairs of languages with a negative inner product, summed over the "+
		"groups of the last step.", float64(r.NegativePairs))
	p.one("concord_pairs", "gauge", "Pairs of languages of the last step, summed over its groups.", float64(r.Pairs))
	p.one("concord_device_memory_bytes", "gauge", "Device memory in use after the last step.", float64(r.MemoryBytes))
	p.one("concord_device_memory_peak_bytes", "gauge", "Most device memory in use so far.", float64(r.PeakBytes))
	p.family("concord_loss_nats", "gauge", "Loss of the last step that had the language, nats a supervised token.")
	for _, lang := range sorted(r.LossByLang) {
		p.sample("concord_loss_nats", float64(r.LossByLang[lang]), "language", lang)
	}
}

func (s *Set) writeEvals(p *page) {
	if s.evals == nil {
		return
	}
	p.family("concord_bits_per_byte", "gauge", "Held-out bits per byte of the last evaluation.")
	for _, lang := range sorted(s.evals) {
		p.sample("concord_bits_per_byte", float64(s.evals[lang].BitsPerByte), "language", lang, "seen", strconv.FormatBool(s.evals[lang].Seen))
	}
	p.family("concord_bits_per_byte_error", "gauge", "Half of its 95 % interval over the documents.")
	for _, lang := range sorted(s.evals) {
		p.sample("concord_bits_per_byte_error", s.evals[lang].Interval.Half(), "language", lang)
	}
	p.family("concord_heldout_documents", "gauge", "Held-out documents: measured by the last evaluation, and there are.")
	for _, lang := range sorted(s.evals) {
		p.sample("concord_heldout_documents", float64(s.evals[lang].Examples), "language", lang, "of", "measured")
		p.sample("concord_heldout_documents", float64(s.evals[lang].Heldout), "language", lang, "of", "all")
	}
}

// page is text in the exposition format.
type page struct{ b strings.Builder }

// family begins a metric.
func (p *page) family(name, kind, help string) {
	fmt.Fprintf(&p.b, "# HELP %s %s\n# TYPE %s %s\n", name, help, name, kind)
}

// one is a metric with one sample, which is left out where its value is not finite.
func (p *page) one(name, kind, help string, value float64) {
	p.family(name, kind, help)
	p.sample(name, value)
}

// sample writes a value with labels, given as name and value by turns.
func (p *page) sample(name string, value float64, labels ...string) {
	if math.IsNaN(value) || math.IsInf(value, 0) {
		return
	}
	p.b.WriteString(name)
	for i := 0; i+1 < len(labels); i += 2 {
		sep := ","
		if i == 0 {
			sep = "{"
		}
		fmt.Fprintf(&p.b, `%s%s="%s"`, sep, labels[i], escape.Replace(strings.ToValidUTF8(labels[i+1], "\uFFFD")))
	}
	if len(labels) > 0 {
		p.b.WriteByte('}')
	}
	p.b.WriteString(" " + strconv.FormatFloat(value, 'g', -1, 64) + "\n")
}

// escape is that of label values: a machine's name comes from outside.
var escape = strings.NewReplacer(`\`, `\\`, `"`, `\"`, "\n", `\n`)

func sorted[T any](m map[string]T) []string {
	out := make([]string, 0, len(m))
	for k := range m {
		out = append(out, k)
	}
	slices.Sort(out)
	return out
}
