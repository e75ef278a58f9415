package audit

import (
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"concord/internal/train"
	"concord/internal/train/traintest"
)

// truth is what is known of constructed data: the languages that are hurt by the mixture.
type truth struct {
	name string
	hurt []string
	make func(lang int, prompt string) string // a document of a language
	n    int                                  // languages
	more string                               // settings
}

// answers of the constructed languages. Each is learnt in a few steps; only what a prompt
// does not tell is lost in a mixture.
var answers = []string{" wxyz", " stuv", " opqr", " klmn"}

var truths = []truth{
	// The same prompts, contradictory answers, nothing that tells the languages apart: a
	// mixture can at best be right half of the time.
	{name: "interference", n: 2, hurt: []string{"l0", "l1"}, make: func(lang int, prompt string) string { return line(prompt, answers[lang]) }},
	// Each language has a tag: all of them can be right at once.
	{name: "none", n: 3, make: func(lang int, prompt string) string { return line(fmt.Sprint(lang)+prompt, answers[lang]) }},
	// Two agree, one of which counts ten times, and the third contradicts them: it loses.
	{name: "one hurt", n: 3, hurt: []string{"l2"}, more: "[objective.preferences]\nl0 = 10.0\n", make: func(lang int, prompt string) string { return line(prompt, answers[lang/2]) }},
}

func line(prompt, answer string) string {
	return fmt.Sprintf("{\"prompt\": %q, \"completion\": %q}\n", prompt, answer)
}

// write makes the data and its run file in a folder. seed makes other prompts.
func (k truth) write(t testing.TB, seed int) string {
	t.Helper()
	dir := t.TempDir()
	traintest.Base(t, filepath.Join(dir, "base"), nil)
	var b strings.Builder
	fmt.Fprintf(&b, "schema = 1\n[run]\nname = \"known\"\nseed = %d\ndir = %q\n[model]\npath = \"base\"\n[batch]\nrows = "+
		"%d\nseq_len = 32\n[optim]\nlr = 2e-2\n[schedule]\nsteps = 60\nwarmup = 4\n[device]\nautotune = false\n%s",
		seed, filepath.Join(dir, "runs"), 2*k.n, k.more)
	for lang := range k.n {
		for _, part := range []struct {
			name     string
			from, to int
		}{{"train", 0, 80}, {"heldout", 80, 100}} {
			text := ""
			for i := part.from; i < part.to; i++ {
				h := uint64(i+1000*seed)*2654435761 + 97
				text += k.make(lang, string([]byte{byte('a' + h%13), byte('a' + h/13%13), byte('a' + h/169%13), ':'}))
			}
			traintest.WriteFile(t, filepath.Join(dir, fmt.Sprintf("l%d.%s.jsonl", lang, part.name)), text)
		}
		fmt.Fprintf(&b, "[[data.source]]\nlang = \"l%[1]d\"\npath = \"l%[1]d.train.jsonl\"\nheldout = \"l%[1]d.heldout.jsonl\"\n", lang)
	}
	path := filepath.Join(dir, "run.toml")
	traintest.WriteFile(t, path, b.String())
	return path
}

// right says whether an audit's verdict is the truth: exactly the languages that are hurt
// are found to be.
func (k truth) right(r *Report) bool {
	var found []string
	for _, f := range r.Interference {
		if f.Verdict == Hurt {
			found = append(found, f.Lang)
		}
	}
	return r.Seeds >= fewestSeeds && strings.Join(found, " ") == strings.Join(k.hurt, " ")
}

// TestKnownTruth holds the audit to data whose truth is known: the first of them, short.
// CONCORD_AUDIT_SEEDS=10 takes all of them, each under so many seeds and longer.
// CONCORD_AUDIT_FIRST is the first seed, 1 where it is not set: the rules for a verdict were
// tuned on 1 to 10.
func TestKnownTruth(t *testing.T) {
	traintest.RequireAdapter(t)
	n, first, steps, some, seeds := 1, 1, 28, truths[:1], fewestSeeds
	if v := os.Getenv("CONCORD_AUDIT_SEEDS"); v != "" {
		n, _ = strconv.Atoi(v)
		steps, some, seeds = 40, truths, 8
	}
	if v := os.Getenv("CONCORD_AUDIT_FIRST"); v != "" {
		first, _ = strconv.Atoi(v)
	}
	for _, k := range some {
		t.Run(k.name, func(t *testing.T) {
			right := 0
			for seed := range n {
				if k.try(t, first+seed, steps, seeds) {
					right++
				}
			}
			t.Logf("the verdict is right in %d of %d seeds", right, n)
			if right*10 < n*9 {
				t.Error("that is too few")
			}
		})
	}
}

// TestControlsComeOut runs the controls with the tiny model, where CONCORD_AUDIT_SEEDS asks
// for the long tests. The remedy control is only told: from random weights and at these
// rates its spread over seeds is larger than its gain.
func TestControlsComeOut(t *testing.T) {
	traintest.RequireAdapter(t)
	if os.Getenv("CONCORD_AUDIT_SEEDS") == "" {
		t.Skip("takes a minute: CONCORD_AUDIT_SEEDS=1")
	}
	o := Options{Run: loaded(t, truths[1].write(t, 1)), Steps: 40, Tokens: 1 << 40, Seeds: fewestSeeds, Margin: 0.05, Controls: true,
		Remedies: RemediesNone}
	r, err := Run(context.Background(), o, train.UI{Out: io.Discard, Warn: io.Discard})
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range r.Controls {
		t.Log(c.Name, c.Text)
		if c.Pass == nil || !*c.Pass && c.Name != remedial {
			t.Errorf("the %s did not come out", c.Name)
		}
	}
}

// try audits the data under a seed and says whether the verdict is right.
func (k truth) try(t *testing.T, seed, steps, seeds int) bool {
	r, err := Run(context.Background(), Options{Run: loaded(t, k.write(t, seed)), Steps: steps, Tokens: 1 << 40, Seeds: seeds, Margin: 0.05,
		Remedies: RemediesNone}, train.UI{Out: io.Discard, Warn: io.Discard})
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("%s, seed %d, right %v:\n%s", k.name, seed, k.right(r), r.Text())
	return k.right(r)
}
