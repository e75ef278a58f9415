package report

import (
	"fmt"
	"io"
	"math"
	"slices"
	"strings"
	"time"
	"unicode/utf8"
)

// Options shape a Reporter.
type Options struct {
	Out      io.Writer // the user's screen
	Terminal bool      // Out is a terminal: one live line instead of plain lines
	Width    int       // columns of the terminal; 0 is 80
	JSONL    io.Writer // metrics.jsonl, or nil
	LogEvery int       // steps between plain lines
	Quiet    bool      // nothing on the screen
	Cosines  Cosines   // of the run's earlier steps
	// Watch, if not nil, gets every record, and Out nothing until the End.
	Watch func(record any)
	// Tap, if not nil, gets every record besides.
	Tap func(record any)
}

// Reporter writes a run's records as they come. Not for concurrent use.
type Reporter struct {
	opt     Options
	header  Header
	live    bool // a live line is on the screen
	pace    Pace
	cosines Cosines
	said    time.Time // when an evaluation that is going last said so
	first   *Eval
	last    *Eval
	err     error
}

// New returns a Reporter.
func New(opt Options) *Reporter {
	if opt.Width <= 0 {
		opt.Width = 80
	}
	if opt.LogEvery < 1 {
		opt.LogEvery = 1
	}
	return &Reporter{opt: opt, cosines: opt.Cosines}
}

// silent says that nothing is to be written to Out now.
func (r *Reporter) silent() bool { return r.opt.Quiet || r.opt.Watch != nil }

// Note reports a note of the run.
func (r *Reporter) Note(n Note) {
	n.Kind = "note"
	r.json(n)
	r.Printf(" note    %s", indented(n.Text))
}

// Err is the first error of writing metrics.jsonl (a full disk, say).
func (r *Reporter) Err() error { return r.err }

func (r *Reporter) json(record any) {
	if r.opt.Watch != nil {
		r.opt.Watch(record)
	}
	if r.opt.Tap != nil {
		r.opt.Tap(record)
	}
	if r.opt.JSONL == nil || r.err != nil {
		return
	}
	r.err = WriteJSON(r.opt.JSONL, record)
}

// Record adds a record to metrics.jsonl that nothing on the screen shows.
func (r *Reporter) Record(record any) { r.json(record) }

// Printf writes a plain line above the live line.
func (r *Reporter) Printf(format string, args ...any) {
	if r.silent() {
		return
	}
	r.clear()
	fmt.Fprintf(r.opt.Out, format+"\n", args...)
}

func (r *Reporter) clear() {
	if r.live {
		fmt.Fprint(r.opt.Out, "\r\x1b[K")
		r.live = false
	}
}

// Step reports a training step.
func (r *Reporter) Step(s Step) {
	s.Kind = "step"
	r.json(s)
	r.pace.Add(s)
	r.cosines.Add(s)
	if r.silent() {
		return
	}
	if r.opt.Terminal {
		fmt.Fprint(r.opt.Out, "\r\x1b[K", r.fit(s, r.opt.Width-1))
		r.live = true
		return
	}
	if s.Step%r.opt.LogEvery == 0 || s.Step == s.Steps || s.Step == r.header.Start+1 {
		fmt.Fprintln(r.opt.Out, r.line(s, true))
	}
}

// fit is the step's line in at most width columns: without the spread of the
// languages where that does not fit, and cut off as a last resort.
func (r *Reporter) fit(s Step, width int) string {
	full := r.line(s, true)
	if utf8.RuneCountInString(full) <= width {
		return full
	}
	return truncate(r.line(s, false), width)
}

// Close ends the live line, if there is one: the next output begins a line.
func (r *Reporter) Close() {
	if r.live {
		fmt.Fprintln(r.opt.Out)
		r.live = false
	}
}

// line is one step on one line, with or without the languages' spread.
func (r *Reporter) line(s Step, languages bool) string {
	var b strings.Builder
	fmt.Fprintf(&b, "step %d/%d  loss %.3f", s.Step, s.Steps, float64(s.Loss))
	lo, hi, loLang, hiLang := spread(s.LossByLang)
	if languages && loLang != hiLang {
		fmt.Fprintf(&b, " (%s %.2f … %s %.2f)", loLang, lo, hiLang, hi)
	}
	fmt.Fprintf(&b, "  |g| %.3g", float64(s.GradNorm))
	if text := r.cosines.Text(); text != "" {
		b.WriteString("  " + text)
	}
	if len(s.Masked) > 0 {
		fmt.Fprintf(&b, "  not finite, left out: %s", strings.Join(s.Masked, " "))
	}
	fmt.Fprintf(&b, "  %s tok/s  %s/step", Count(int64(r.pace.Tokens)), Duration(time.Duration(r.pace.Seconds*float64(time.Second))))
	if x := s.Exchange; x != nil {
		fmt.Fprintf(&b, "  %d machines", x.Workers)
		if h := float64(x.Hidden); !math.IsNaN(h) {
			fmt.Fprintf(&b, ", %.0f%% hidden", 100*h)
		}
	}
	if left := r.pace.Left(s); left > 0 {
		fmt.Fprintf(&b, "  ETA %s", Duration(left))
	}
	return b.String()
}

func spread(loss map[string]Float) (lo, hi float64, loLang, hiLang string) {
	lo, hi = math.Inf(1), math.Inf(-1)
	langs := make([]string, 0, len(loss))
	for l := range loss {
		langs = append(langs, l)
	}
	slices.Sort(langs)
	for _, l := range langs {
		if v := float64(loss[l]); v < lo {
			lo, loLang = v, l
		}
		if v := float64(loss[l]); v > hi {
			hi, hiLang = v, l
		}
	}
	return lo, hi, loLang, hiLang
}

// Eval reports an evaluation.
func (r *Reporter) Eval(e Eval) {
	e.Kind = "eval"
	r.json(e)
	if r.first == nil && e.Step == 0 { // "before" means before the first step
		r.first = &e
	}
	r.last = &e
	r.Printf(" eval    step %d: %s  (%s)", e.Step, e.Summary(), Duration(time.Duration(e.Seconds*float64(time.Second))))
	if text := e.answered(); text != "" {
		r.Printf(" answers %s", text)
	}
}

// Evaluating shows how far an evaluation is: always in the live line, as a line of
// its own where it takes long.
func (r *Reporter) Evaluating(p Progress) {
	if r.opt.Watch != nil {
		r.opt.Watch(p)
	}
	if r.silent() || p.Of == 0 {
		return
	}
	text := fmt.Sprintf("evaluating step %d: %.0f%% of %s documents", p.Step, 100*float64(p.Done)/float64(p.Of), Count(int64(p.Docs)))
	switch {
	case r.opt.Terminal:
		fmt.Fprint(r.opt.Out, "\r\x1b[K", truncate(text, r.opt.Width-1))
		r.live = true
	case r.said.IsZero():
		r.said = time.Now()
	case time.Since(r.said) > evaluationPatience:
		r.Printf(" eval    %s", text)
		r.said = time.Now()
	}
	if p.Done == p.Of {
		r.clear()
		r.said = time.Time{}
	}
}

// evaluationPatience is how long an evaluation may say nothing.
const evaluationPatience = 10 * time.Second

// Conflict is the summary of the cosines of the run's steps; nil where there are none.
func (r *Reporter) Conflict() *Conflict { return r.cosines.Conflict(r.header.Languages) }

// Compare sets the evaluations that the closing table compares, either nil if
// there is none, as an earlier process of the run left them.
func (r *Reporter) Compare(first, last *Eval) { r.first, r.last = first, last }

// End prints the closing table and where the output is.
func (r *Reporter) End(e End) {
	e.Kind = "end"
	r.json(e)
	if r.opt.Quiet {
		return
	}
	r.clear()
	switch {
	case r.first != nil && r.last != nil && r.first.Step != r.last.Step:
		fmt.Fprint(r.opt.Out, "\n", Table(*r.first, *r.last, "before", "after"), AnswerTable(*r.first, *r.last, "before", "after"))
	case r.first == nil && r.last != nil:
		fmt.Fprint(r.opt.Out, "\n", EvalTable(*r.last))
	}
	fmt.Fprintf(r.opt.Out, "\n %s, %s tokens, %s of them trained on, in %s; peak GPU memory %s (%s%s)\n", Plural(e.Steps, "step"),
		Count(e.Tokens), Count(e.Supervised), Duration(time.Duration(e.Seconds*float64(time.Second))), Bytes(e.PeakBytes), planned(e),
		roles(e.BytesByRole))
	if e.Early != nil {
		fmt.Fprintf(r.opt.Out, " ended early, after step %d of %d (eval.patience): %v\n", e.Steps, e.Of, e.Early)
	}
	if e.Output != "" {
		fmt.Fprintf(r.opt.Out, " model in %s\n", e.Output)
		if r.header.Dir != "" {
			fmt.Fprintf(r.opt.Out, " as a page: %s\n", Command("report", r.header.Dir))
		}
	}
	Warn(r.opt.Out, e.Warnings)
	if e.Conflict != nil {
		for _, line := range e.Conflict.Text() {
			fmt.Fprintf(r.opt.Out, " %s\n", line)
		}
	}
	if e.Best != "" {
		fmt.Fprintf(r.opt.Out, " an earlier one was better on the trained languages: %s\n", e.Best)
	}
}

func roles(by map[string]int64) string {
	names := make([]string, 0, len(by))
	for n := range by {
		if by[n] > 0 {
			names = append(names, n)
		}
	}
	slices.SortFunc(names, func(a, b string) int {
		if by[a] != by[b] {
			return int(min(max(by[b]-by[a], -1), 1))
		}
		return strings.Compare(a, b)
	})
	parts := make([]string, len(names))
	for i, n := range names {
		parts[i] = n + " " + Bytes(by[n])
	}
	return strings.Join(parts, ", ")
}

func truncate(s string, width int) string {
	if utf8.RuneCountInString(s) <= width {
		return s
	}
	return string([]rune(s)[:max(width-1, 0)]) + "…"
}

// planned is the plan's figure beside the measured one.
func planned(e End) string {
	if e.PlannedBytes == 0 {
		return ""
	}
	return "planned " + Bytes(e.PlannedBytes) + "; "
}
