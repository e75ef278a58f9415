package audit

import (
	"bytes"
	_ "embed"
	"fmt"
	"html/template"

	"concord/internal/stats"
)

//go:embed report.html.tmpl
var pageText string

// page has the fields that the template shows.
type page struct {
	*Report
	Title        string
	About        [][2]string
	Effects      template.HTML
	ByLang       [][]string
	Heat, Bars   template.HTML
	Periods      string
	Helps        template.HTML
	HelpTable    [][]string
	HelpWhat     [][2]string
	ForgetForest template.HTML
	Forget       [][]string
}

// html is the report as one file without scripts, fonts or links.
func (r *Report) html() ([]byte, error) {
	t, err := template.New("report").Parse(pageText)
	if err != nil {
		return nil, fmt.Errorf("audit: %w", err)
	}
	p := page{Report: r, Title: "audit of " + r.Name, About: r.about(), ByLang: r.interferenceTable(), HelpTable: r.remedyTable(),
		Forget: r.forgettingTable()}
	var rows []dot
	for _, f := range r.Interference {
		rows = append(rows, dot{f.Lang, f.Effect, class(f.Verdict)})
	}
	p.Effects = forest(rows, r.Margin, "mixture − alone, bits per byte: right of the band is hurt, left helped")
	if r.Transfer != nil {
		p.Heat, p.Bars = r.Transfer.heat(), r.Transfer.bars()
		for _, x := range r.Transfer.Periods {
			p.Periods += fmt.Sprintf("steps %d–%d: %s; ", x.From, x.To, stats.Signed(float64(x.Mean), 3))
		}
	}
	rows = nil
	for _, h := range r.Remedies {
		rows = append(rows, dot{h.Name, h.Gain, class(h.Verdict)})
		p.HelpWhat = append(p.HelpWhat, [2]string{h.Name, h.What})
	}
	p.Helps = forest(rows, 0, "remedy − plain mixture, bits per byte of the languages in question: left is better")
	rows = nil
	for _, f := range r.Forgetting {
		rows = append(rows, dot{f.Lang, f.Change, class(verdictOf(f.Change, r.Margin))})
	}
	p.ForgetForest = forest(rows, r.Margin, "after − before training, bits per byte: right is forgotten")
	var b bytes.Buffer
	if err := t.Execute(&b, p); err != nil {
		return nil, fmt.Errorf("audit: %w", err)
	}
	return b.Bytes(), nil
}

// about names the runs, the model and the data.
func (r *Report) about() [][2]string {
	return [][2]string{{"model", r.Model}, {"device", r.Machine}, {"version", r.Version},
		{"runs", fmt.Sprintf("%d, of %d steps each (the run file's has %d); %d tokens in all, %.0f s", r.Runs, r.Steps, r.RunSteps, r.Tokens,
			r.Seconds)},
		{"seeds", fmt.Sprintf("%d judge, one more chose the learning rates; %d would tell the margin in every language, or "+
			"are the most asked for", r.Seeds, r.SeedsWanted)},
		{"margin", fmt.Sprintf("%g bits per byte", r.Margin)}, {"batches", r.Mixing}}
}
