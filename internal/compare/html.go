package compare

import (
	"bytes"
	_ "embed"
	"fmt"
	"html/template"
	"strings"
)

//go:embed report.html.tmpl
var pageText string

// page is the data that the template shows.
type page struct {
	*Report
	Title            string
	About            [][2]string
	Explain          string
	Forest           template.HTML
	Curves           []curvePanel
	ByMethod, ByLang [][]string
	Cost             [][]string
	Costs            string
	AloneText        string
	ByItself         [][]string
	Tried            [][]cell
}

// cell is a table's, bold where it was chosen.
type cell struct {
	Text string
	Bold bool
}

// html is the report as one file without scripts, fonts or links.
func (r *Report) html() ([]byte, error) {
	oneLine := func(s string) string { return strings.ReplaceAll(s, "\n", " ") }
	t, err := template.New("report").Funcs(template.FuncMap{"oneLine": oneLine}).Parse(pageText)
	if err != nil {
		return nil, fmt.Errorf("compare: %w", err)
	}
	p := page{Report: r, Title: r.title(), About: r.about(), Explain: r.explain(), Forest: r.forest(), Curves: r.curves(),
		ByMethod: r.familyTable(), Cost: r.costTable(), Costs: costs, AloneText: aloneText, ByItself: r.aloneTable(), ByLang: r.languageTable()}
	for _, row := range r.triedTable() {
		var cells []cell
		for _, c := range row {
			text, bold := strings.CutPrefix(c, "**")
			cells = append(cells, cell{strings.TrimSuffix(text, "**"), bold})
		}
		p.Tried = append(p.Tried, cells)
	}
	var b bytes.Buffer
	if err := t.Execute(&b, p); err != nil {
		return nil, fmt.Errorf("compare: %w", err)
	}
	return b.Bytes(), nil
}
