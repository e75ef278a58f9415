// Package report is the output of a run: records of steps and evaluations, the
// metrics.jsonl file, the live line or plain lines, and the closing table. It
// only formats; nothing in it changes a run. Start reading at Reporter.
package report

import (
	"encoding/json"
	"fmt"
	"io"
	"math"
)

// Float is a float64 that JSON can hold: NaN and infinities become null.
type Float float64

// MarshalJSON writes null for a value JSON has no number for.
func (f Float) MarshalJSON() ([]byte, error) {
	if math.IsNaN(float64(f)) || math.IsInf(float64(f), 0) {
		return []byte("null"), nil
	}
	return json.Marshal(float64(f))
}

// UnmarshalJSON reads null as NaN.
func (f *Float) UnmarshalJSON(b []byte) error {
	if string(b) == "null" {
		*f = Float(math.NaN())
		return nil
	}
	return json.Unmarshal(b, (*float64)(f))
}

// Step is everything known about one training step.
type Step struct {
	Kind            string           `json:"kind"` // "step"
	Step            int              `json:"step"` // 1 is the first
	Steps           int              `json:"steps"`
	Loss            Float            `json:"loss"`           // mean over the languages, nats per supervised token
	LossByLang      map[string]Float `json:"loss_by_lang"`   // languages without tokens in this step are absent
	TokensByLang    map[string]int   `json:"tokens_by_lang"` // supervised tokens
	GradNorm        Float            `json:"grad_norm"`      // of the resolved gradient, before clipping
	ClipScale       Float            `json:"clip_scale"`     // 1: not clipped
	LR              Float            `json:"lr"`
	NegativePairs   int              `json:"negative_pairs"` // language pairs with ⟨gᵢ,gⱼ⟩ < 0, summed over buckets
	Pairs           int              `json:"pairs"`          // 0: the method computes no Gram
	Masked          []string         `json:"masked,omitempty"`
	Weights         []float64        `json:"weights,omitempty"` // by language of the header, where they are part of the loss
	Buckets         []Bucket         `json:"buckets,omitempty"`
	Tokens          int              `json:"tokens"`    // of the batch, padding not counted
	Positions       int              `json:"positions"` // of the batch, padding included
	Seconds         float64          `json:"seconds"`
	TotalTokens     int64            `json:"total_tokens"`     // read so far, padding not counted
	TotalSupervised int64            `json:"total_supervised"` // of those, with a loss
	// of the languages' whole gradients: rows of the lower triangle, no diagonal
	Cosines     []Float   `json:"cosines,omitempty"`
	MemoryBytes int64     `json:"memory_bytes,omitempty"` // device memory in use after the step
	PeakBytes   int64     `json:"peak_bytes,omitempty"`
	Exchange    *Exchange `json:"exchange,omitempty"` // on many machines
}

// Exchange is how a step on many machines went, as the machine saw it that
// reports.
type Exchange struct {
	Workers       int      `json:"workers"`
	Rows          int      `json:"rows"`    // of the batch, computed here
	Seconds       float64  `json:"seconds"` // from the first row sent to the last bucket received
	Exposed       float64  `json:"exposed"` // of those, with nothing else to do
	Hidden        Float    `json:"hidden"`  // 1 − exposed/seconds
	SentBytes     int64    `json:"sent_bytes"`
	ReceivedBytes int64    `json:"received_bytes"`
	Missing       []string `json:"missing,omitempty"` // rows that the step was made without
}

// Note is something the run tells its watchers.
type Note struct {
	Kind   string `json:"kind"` // "note"
	Step   int    `json:"step"` // steps done
	Text   string `json:"text"`
	Paused bool   `json:"paused"`
}

// Bucket is one bucket's resolution in one step.
type Bucket struct {
	Name          string    `json:"name"`
	NegativePairs int       `json:"negative_pairs"`
	Pairs         int       `json:"pairs"`
	MinCosine     Float     `json:"min_cosine"`
	Weights       []float64 `json:"weights,omitempty"` // by language, in the header's order
	Norms         []Float   `json:"norms,omitempty"`   // |g| by language
	Norm          Float     `json:"norm"`              // |d|
}

// Gram is a snapshot of every bucket's Gram matrix, taken every so many steps.
// The report derives cosines, their errors, angles and gaps from it.
type Gram struct {
	Kind    string       `json:"kind"`   // "gram"
	Step    int          `json:"step"`   // 1 is the first
	Metric  string       `json:"metric"` // "euclidean", or "adam": inner products in the optimizer's metric
	Buckets []GramBucket `json:"buckets"`
}

// GramBucket is one resolution unit's Gram. Languages are in the header's order.
type GramBucket struct {
	Name    string    `json:"name"`
	Size    int       `json:"size"` // values
	Method  string    `json:"method"`
	G       []Float   `json:"g"`       // lower triangle row by row, M(M+1)/2 values; null where not finite
	Weights []float64 `json:"weights"` // M, as applied; null for element-wise methods
	// SelfCosine is the cosine between the gradients of two halves of the
	// language's tokens, M values, null where there was one half only; absent
	// without objective.noise. s near 1: the gradient hardly depends on which
	// tokens were drawn. The whole batch's gradient has the reliability 2s/(1+s).
	SelfCosine []Float `json:"self_cosine,omitempty"`
	// Contrast is ⟨d_i, g_j⟩, M·M values row by row, d_i the difference of language
	// i's halves scaled to the noise of g_i; with SelfCosine. The standard error of
	// ⟨g_i, g_j⟩ is about √(⟨d_i, g_j⟩² + ⟨g_i, d_j⟩²). Contrasts of buckets add up.
	Contrast []Float `json:"contrast,omitempty"`
}

// Probe is the effect of one step on every language's loss on its own batch.
type Probe struct {
	Kind string `json:"kind"` // "probe"
	Step int    `json:"step"` // 1 is the first
	// Predicted is the first-order change ⟨g_m, Δθ⟩ for the update Δθ that the
	// optimizer made; Realised is L_m(θ+Δθ) − L_m(θ). Nats per token.
	Predicted map[string]Float   `json:"predicted"`
	Realised  map[string]Float   `json:"realised"`
	Phases    map[string]float64 `json:"phases"` // seconds of this step by phase
}

// Eval is one measurement of every language.
type Eval struct {
	Kind    string    `json:"kind"` // "eval"
	Step    int       `json:"step"` // steps done
	Rows    []EvalRow `json:"rows"`
	Means   []Mean    `json:"means,omitempty"`
	Seconds float64   `json:"seconds"`
	Answers []Answer  `json:"answers,omitempty"` // with eval.samples
	// Patience is how far early stopping is; nil for evaluations that do not count.
	Patience *Patience `json:"patience,omitempty"`
}

// Answer is the model's answer to a held-out prompt.
type Answer struct {
	Lang   string `json:"lang"`
	Prompt string `json:"prompt"` // without the parts that all prompts share
	Answer string `json:"answer"`
	Wanted string `json:"wanted"` // the data's answer
	Ended  bool   `json:"ended"`  // false: cut off at eval.sample_tokens
	Scored bool   `json:"scored"` // false: the data's is longer than an answer may be
}

// Patience counts evaluations for early stopping.
type Patience struct {
	Lowest Float `json:"lowest"` // mean bits per byte of the trained languages; null: none so far
	Step   int   `json:"step"`   // where it was measured
	Stale  int   `json:"stale"`  // evaluations since
	Of     int   `json:"of"`     // as many end the run; 0: nothing does
}

// Add counts an evaluation with the mean at a step; one that is lower by more than
// gain begins anew.
func (p *Patience) Add(mean float64, step int, gain float64) {
	if p.Step == 0 && p.Stale == 0 && p.Lowest == 0 {
		p.Lowest = Float(math.NaN())
	}
	lowest := float64(p.Lowest)
	if mean < lowest-gain || math.IsNaN(lowest) && !math.IsNaN(mean) && !math.IsInf(mean, 0) {
		*p = Patience{Float(mean), step, 0, p.Of}
		return
	}
	p.Stale++
}

// Over says that the run is to end.
func (p *Patience) Over() bool { return p != nil && p.Of > 0 && p.Stale >= p.Of }

// String says why.
func (p *Patience) String() string {
	return fmt.Sprintf("%d evaluations in a row without a lower mean of the trained languages than %.3f bits per byte, at step %d",
		p.Stale, float64(p.Lowest), p.Step)
}

// Progress is how far an evaluation is; it is shown and not recorded.
type Progress struct {
	Step     int // steps done
	Done, Of int // batches
	Docs     int // documents in all
}

// EvalRow is one language's held-out measurement.
type EvalRow struct {
	Lang        string    `json:"lang"`
	Seen        bool      `json:"seen"` // trained on
	BitsPerByte Float     `json:"bits_per_byte"`
	Interval    *Estimate `json:"interval,omitempty"`    // of the bits per byte, over the documents
	Change      *Estimate `json:"change,omitempty"`      // relative, from the first evaluation
	Docs        []Doc     `json:"-"`                     // in the order of the examples
	NLL         Float     `json:"nll"`                   // nats, summed
	Tokens      int       `json:"tokens"`                // supervised
	Bytes       int       `json:"bytes"`                 // of supervised text, UTF-8
	Examples    int       `json:"examples"`              // 0: nothing was held out, and nothing measured
	Heldout     int       `json:"heldout"`               // examples there are; where they are more, Examples are a random sample of them
	Answers     int       `json:"answers,omitempty"`     // that were scored, with eval.samples
	Exact       *Estimate `json:"exact_match,omitempty"` // share of them that are equal to the data's, 0 … 1
	ChrF        *Estimate `json:"chrf,omitempty"`        // chrF2 of all of them together, 0 … 100
}

// Sampled says that only a part of the language's held-out examples was measured.
func (r EvalRow) Sampled() bool { return r.Examples > 0 && r.Examples < r.Heldout }

// Mean is the mean bits per byte of the rows with Seen == seen, NaN if none.
func (e Eval) Mean(seen bool) float64 {
	sum, n := 0.0, 0
	for _, r := range e.Rows {
		if r.Seen == seen && !(r.Examples == 0 && math.IsNaN(float64(r.BitsPerByte))) {
			sum += float64(r.BitsPerByte)
			n++
		}
	}
	if n == 0 {
		return math.NaN()
	}
	return sum / float64(n)
}

// Data is the counts of one language's files as loaded.
type Data struct {
	Lang       string `json:"lang"`
	Seen       bool   `json:"seen"`
	Documents  int    `json:"documents"` // that are trained on
	Examples   int    `json:"examples"`  // made of them; of a split document several
	Heldout    int    `json:"heldout"`
	Tokens     int    `json:"tokens"`
	Supervised int    `json:"supervised"`
	Bytes      int    `json:"bytes"`
	TooLong    int    `json:"too_long"`
	Pieces     int    `json:"pieces"`   // examples made from split documents
	Overlong   string `json:"overlong"` // their treatment: "dropped", "split", "truncated"
	Empty      int    `json:"empty"`
	Masked     int    `json:"fully_masked"`
	Epochs     Float  `json:"epochs"`     // that the run reads
	Met        Float  `json:"met"`        // share of its steps that hold another language too; null where it has none
	Duplicates int    `json:"duplicates"` // training documents equal to an earlier one
	Shared     int    `json:"shared"`     // held-out documents that are also trained on
	Straddling int    `json:"straddling"` // tokens across the border of prompt and answer
	OwnMarks   int    `json:"own_marks"`  // BOS and EOS that the documents carried themselves
	// Rendering says how conversations became text; "" if there are none.
	Rendering string `json:"rendering,omitempty"`
	NoTools   int    `json:"no_tools,omitempty"` // conversations with tools that the template leaves out
	// Notes are sentences on things that may not be meant, with the line that helps.
	Notes []string `json:"notes,omitempty"`
}

// Header opens a run.
type Header struct {
	Kind       string    `json:"kind"` // "header"
	Version    string    `json:"version"`
	Name       string    `json:"name"`
	Dir        string    `json:"dir"`
	Model      string    `json:"model"`
	Parameters int64     `json:"parameters"`
	Trained    int64     `json:"trained_parameters"`    // values that are trained, of an adapter too
	BOS        string    `json:"bos"`                   // "" = none is added
	EOS        string    `json:"eos"`                   // "" = none: the model does not learn to stop
	ByTemplate bool      `json:"by_template,omitempty"` // all examples are conversations: the chat template writes both
	Stops      []string  `json:"stops"`                 // where answers end, each with the files that say so
	Device     string    `json:"device"`
	Backend    string    `json:"backend"`
	Software   bool      `json:"software"` // a CPU adapter
	Budget     int64     `json:"memory_budget"`
	Planned    int64     `json:"memory_planned"`
	Method     string    `json:"method"`
	Scope      string    `json:"scope"`
	Buckets    int       `json:"buckets"`
	Rows       int       `json:"rows"`
	SeqLen     int       `json:"seq_len"`
	Steps      int       `json:"steps"`
	Start      int       `json:"start"` // steps done before, after a resume
	Languages  []string  `json:"languages"`
	Epochs     float64   `json:"epochs"`             // passes over the training examples, mean of the languages
	Packing    float64   `json:"packing"`            // share of batch tokens that are not padding
	Met        float64   `json:"met"`                // share of steps with two languages or more
	Warnings   []string  `json:"warnings,omitempty"` // unusual things, with the line that changes each
	Settings   []Setting `json:"settings,omitempty"`
	Data       []Data    `json:"data"`
}

// Setting is a setting of the run that is not the default.
type Setting struct {
	Key   string `json:"key"`
	Value string `json:"value"`
}

// End closes a run.
type End struct {
	Kind       string  `json:"kind"` // "end"
	Steps      int     `json:"steps"`
	Seconds    float64 `json:"seconds"`
	Tokens     int64   `json:"tokens"`     // read, padding not counted
	Supervised int64   `json:"supervised"` // of those, with a loss
	PeakBytes  int64   `json:"peak_bytes"` // measured: all live buffers
	// PlannedBytes is the plan's peak; 0: there is no plan.
	PlannedBytes int64            `json:"planned_bytes,omitempty"`
	BytesByRole  map[string]int64 `json:"bytes_by_role"` // at the peak
	Output       string           `json:"output"`
	Best         string           `json:"best,omitempty"`     // folder of a better model than the last
	Warnings     []string         `json:"warnings,omitempty"` // of unusual things in its steps
	Conflict     *Conflict        `json:"conflict,omitempty"` // nil: no step computed cosines
	Early        *Patience        `json:"early,omitempty"`    // why the run ended before its last step
	Of           int              `json:"of,omitempty"`       // steps that it would have had, then
}

// WriteJSON appends one record as a line.
func WriteJSON(w io.Writer, record any) error {
	b, err := json.Marshal(record)
	if err != nil {
		return fmt.Errorf("report: %w", err)
	}
	if _, err := w.Write(append(b, '\n')); err != nil {
		return fmt.Errorf("report: write metrics: %w", err)
	}
	return nil
}
