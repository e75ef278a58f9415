package train

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"concord/internal/config"
	"concord/internal/corpus"
	"concord/internal/data"
	"concord/internal/infer"
	"concord/internal/model"
	"concord/internal/report"
	"concord/internal/textscore"
	"concord/internal/tokenizer"
)

// questions are held-out prompts that the model answers at each evaluation, the same
// ones every time, with the answers that the data has.
type questions struct {
	list    []question
	longest int // tokens of a prompt
	most    int // tokens of an answer
}

// question is a prompt, as the example has it in tokens.
type question struct {
	lang   string
	ids    []uint32
	shown  string   // the prompt without the parts that all prompts share
	wanted []uint32 // the answer up to its end
}

// unscored says by language how many of the data's answers are longer than the model's may be, "" without one.
func (q *questions) unscored() string {
	var by []string
	for rest := q.list; len(rest) > 0; {
		n := slices.IndexFunc(rest, func(x question) bool { return x.lang != rest[0].lang })
		if n < 0 {
			n = len(rest)
		}
		long, need := 0, 0
		for _, x := range rest[:n] {
			if len(x.wanted) > q.most {
				long, need = long+1, max(need, len(x.wanted))
			}
		}
		if long > 0 {
			by = append(by, fmt.Sprintf("%s %d of %d, up to %d tokens", rest[0].lang, long, n, need))
		}
		rest = rest[n:]
	}
	return strings.Join(by, "; ")
}

// newQuestions takes eval.samples prompts of each language, evenly spread over its
// held-out examples. nil: none is asked for. Where there is none it says so: text has no
// prompts.
func newQuestions(c *corpus.Corpus, cfg *config.Config, say func(string)) (*questions, error) {
	if cfg.Eval.Samples == 0 {
		return nil, nil
	}
	q := &questions{most: cfg.Eval.SampleTokens}
	var without []string
	for _, set := range c.Sets {
		before := len(q.list)
		all := data.Spread(set.Heldout, cfg.Eval.Samples)
		for i := range all.Len() {
			x, err := all.At(i)
			if err != nil {
				return nil, DataError(err)
			}
			q.add(set.Lang, x, c.Model.MaxPositions)
		}
		if len(q.list) == before {
			without = append(without, set.Lang)
		}
	}
	if len(without) > 0 {
		say(fmt.Sprintf("eval.samples: no held-out prompts of %s: texts without a prompt have no answers, and what is not held "+
			"out is not asked", strings.Join(without, ", ")))
	}
	if long := q.unscored(); long != "" {
		say(fmt.Sprintf("eval.sample_tokens = %d: longer answers of the data are shown and not scored (%s)\n"+
			"  fix: a larger eval.sample_tokens", q.most, long))
	}
	q.shorten(c.Tokenizer)
	return q, nil
}

// add takes an example's first prompt, if it has one that leaves room for an answer.
func (q *questions) add(lang string, x data.Example, room int) {
	begin := slices.Index(x.Mask, true)
	if begin < 2 || begin+q.most > room { // BOS alone is no prompt
		return
	}
	end := begin
	for end < len(x.Mask) && x.Mask[end] {
		end++
	}
	q.list = append(q.list, question{lang: lang, ids: x.IDs[:begin], wanted: x.IDs[begin:end]})
	q.longest = max(q.longest, begin)
}

// shorten leaves out of the text shown the beginning and the end that all prompts have:
// the system's text and the template's marks. It cuts at marks and line ends only.
func (q *questions) shorten(tok *tokenizer.Tokenizer) {
	if len(q.list) == 0 {
		return
	}
	first := q.list[0].ids
	head, tail := len(first), len(first)
	for _, x := range q.list[1:] {
		a, b := 0, 0
		for a < min(head, len(x.ids)) && first[a] == x.ids[a] {
			a++
		}
		for b < min(tail, len(x.ids)) && first[len(first)-1-b] == x.ids[len(x.ids)-1-b] {
			b++
		}
		head, tail = a, b
	}
	border := func(id uint32) bool {
		return tok.IsSpecial(id) || strings.HasSuffix(tok.Decode([]uint32{id}, false), "\n")
	}
	for head > 0 && !border(first[head-1]) {
		head--
	}
	for tail > 0 && !border(first[len(first)-tail]) {
		tail--
	}
	for i := range q.list {
		x := &q.list[i]
		if from, to := head, len(x.ids)-tail; from < to && len(q.list) > 1 {
			x.shown = strings.TrimSpace(tok.Decode(x.ids[from:to], true))
		}
		if x.shown == "" {
			x.shown = strings.TrimSpace(tok.Decode(x.ids, true))
		}
	}
}

// speaker answers them.
func (q *questions) speaker(net model.Model, c *corpus.Corpus, dir string) (*infer.Speaker, error) {
	if q == nil || len(q.list) == 0 {
		return nil, nil
	}
	return infer.NewSpeaker(net, c.Tokenizer, c.Template, dir, q.longest, q.most)
}

// ask adds the model's answers to an evaluation, and how good they are.
func (q *questions) ask(ctx context.Context, s *infer.Speaker, e *report.Eval) error {
	if s == nil {
		return nil
	}
	given, wanted := map[string][]string{}, map[string][]string{}
	for _, x := range q.list {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		out, err := s.Answer(x.ids)
		if err != nil {
			return err
		}
		a := report.Answer{Lang: x.lang, Prompt: x.shown, Answer: out.Text, Wanted: s.Text(x.wanted), Ended: out.Stopped != "length"}
		if len(x.wanted) <= q.most { // a longer one cannot be given
			a.Scored = true
			given[x.lang], wanted[x.lang] = append(given[x.lang], a.Answer), append(wanted[x.lang], a.Wanted)
		}
		e.Answers = append(e.Answers, a)
	}
	for i := range e.Rows {
		r := &e.Rows[i]
		if n := len(given[r.Lang]); n > 0 {
			r.Answers = n
			r.Exact, r.ChrF = estimateOf(textscore.Exact(given[r.Lang], wanted[r.Lang])), estimateOf(textscore.ChrF(given[r.Lang], wanted[r.Lang]))
		}
	}
	return nil
}

func estimateOf(s textscore.Score) *report.Estimate {
	return &report.Estimate{Value: report.Float(s.Value), Low: report.Float(s.Low), High: report.Float(s.High)}
}
