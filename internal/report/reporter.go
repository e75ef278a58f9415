package report

import (
	"cmp"
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
	// Watch, if not nil, gets every record, and Out nothing until the End.
	Watch func(record any)
}

// Reporter writes a run's records as they come. Not for concurrent use.
type Reporter struct {
	opt    Options
	header Header
	live   bool // a live line is on the screen
	pace   Pace
	first  *Eval
	last   *Eval
	err    error
}

// New returns a Reporter.
func New(opt Options) *Reporter {
	if opt.Width <= 0 {
		opt.Width = 80
	}
	if opt.LogEvery < 1 {
		opt.LogEvery = 1
	}
	return &Reporter{opt: opt}
}

// silent says that nothing is to be written to Out now.
func (r *Reporter) silent() bool { return r.opt.Quiet || r.opt.Watch != nil }

// Note reports what the run tells.
func (r *Reporter) Note(n Note) {
	n.Kind = "note"
	r.json(n)
	r.Printf(" note    %s", n.Text)
}

// Err is the first error of writing metrics.jsonl (a full disk, say).
func (r *Reporter) Err() error { return r.err }

func (r *Reporter) json(record any) {
	if r.opt.Watch != nil {
		r.opt.Watch(record)
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

// Begin prints the header.
func (r *Reporter) Begin(h Header) {
	h.Kind = "header"
	r.header = h
	r.pace.Start(h.Start)
	r.json(h)
	device := h.Device
	if h.Software {
		device += " (software, on the CPU)"
	}
	r.Printf(" run     %s → %s", h.Name, h.Dir)
	r.Printf(" model   %s  %s parameters", h.Model, Count(h.Parameters))
	r.Printf("         examples begin with %s, end with %s", cmp.Or(h.BOS, "nothing"), cmp.Or(h.EOS, "nothing"))
	if h.EOS == "" {
		r.Printf(" !       no end-of-text token: the model will not learn to stop. Give eos_token in tokenizer_config.json, or eos_token_id in config.json")
	}
	r.Printf(" device  %s, %s", device, h.Backend)
	r.Printf(" memory  %s of tensors, budget %s", Bytes(h.Planned), Bytes(h.Budget))
	r.Printf(" method  %s, scope %s: %d buckets, %d languages", h.Method, h.Scope, h.Buckets, len(h.Languages))
	r.Printf(" step    %d rows × %d tokens, %.0f%% filled; %d steps, %.1f epochs", h.Rows, h.SeqLen, 100*h.Packing, h.Steps, h.Epochs)
	if !r.silent() {
		DataTable(r.opt.Out, h.Data)
	}
}

// DataTable prints what loading gave, language by language, and what was left
// out and why.
func DataTable(w io.Writer, data []Data) {
	r := Reporter{opt: Options{Out: w}}
	r.Printf(" data    %-8s %9s %9s %10s %8s", "lang", "examples", "tokens", "trained", "held out")
	for _, d := range data {
		seen := ""
		if !d.Seen {
			seen = "  not trained on"
		}
		r.Printf("         %-8s %9s %9s %10s %8s%s", d.Lang, Count(int64(d.Examples)), Count(int64(d.Tokens)), Count(int64(d.Supervised)), Count(int64(d.Heldout)), seen)
	}
	for _, d := range data {
		for _, w := range []struct {
			n          int
			noun, what string
		}{
			{d.TooLong, "example", "longer than data.max_len: " + d.Overlong}, {d.Empty, "example", "empty: dropped"},
			{d.Masked, "example", "without a supervised token: dropped"},
			{d.Duplicates, "example", "equal to an earlier one: kept"}, {d.Shared, "example", "held out but also trained on"},
			{d.Straddling, "token", "across the border of prompt and answer: not trained (does a space belong to the answer?)"},
			{d.OwnMarks, "BOS or EOS token", "in the text itself: not added again"},
		} {
			if w.n > 0 {
				r.Printf(" !       %s: %d %s%s %s", d.Lang, w.n, w.noun, map[bool]string{false: "s"}[w.n == 1], w.what)
			}
		}
	}
}

// Step reports a training step.
func (r *Reporter) Step(s Step) {
	s.Kind = "step"
	r.json(s)
	r.pace.Add(s)
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

// Close ends the live line, if there is one: what follows begins a line.
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
	if s.Pairs > 0 {
		fmt.Fprintf(&b, "  conflict %.0f%%", 100*float64(s.NegativePairs)/float64(s.Pairs))
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
	line := fmt.Sprintf(" eval    step %d: mean bits per byte, seen %.3f", e.Step, e.Mean(true))
	if u := e.Mean(false); !math.IsNaN(u) {
		line += fmt.Sprintf(", unseen %.3f", u)
	}
	r.Printf("%s  (%s)", line, Duration(time.Duration(e.Seconds*float64(time.Second))))
}

// Compare sets the evaluations that the closing table compares, either nil if
// there is none, as an earlier sitting of the run left them.
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
		fmt.Fprint(r.opt.Out, "\n", Table(*r.first, *r.last, "before", "after"))
	case r.first == nil && r.last != nil:
		fmt.Fprint(r.opt.Out, "\n", EvalTable(*r.last))
	}
	fmt.Fprintf(r.opt.Out, "\n %d steps, %s tokens, %s of them trained on, in %s; peak GPU memory %s (%s)\n", e.Steps, Count(e.Tokens), Count(e.Supervised), Duration(time.Duration(e.Seconds*float64(time.Second))), Bytes(e.PeakBytes), roles(e.BytesByRole))
	if e.Output != "" {
		fmt.Fprintf(r.opt.Out, " model in %s\n", e.Output)
		if r.header.Dir != "" {
			fmt.Fprintf(r.opt.Out, " as a page: %s\n", Command("report", r.header.Dir))
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
