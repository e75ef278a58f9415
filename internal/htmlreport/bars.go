package htmlreport

import (
	"math"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/plotter"
	"gonum.org/v1/plot/vg"

	"concord/internal/report"
)

// bar is one value with its name.
type bar struct {
	name  string
	value float64
}

// barPlot draws bars, nil without any.
func barPlot(title, y string, bars []bar) *plot.Plot {
	if len(bars) == 0 {
		return nil
	}
	var values plotter.Values
	var names []string
	for _, b := range bars {
		values, names = append(values, b.value), append(names, b.name)
	}
	c, err := plotter.NewBarChart(values, vg.Points(max(4, 420/float64(len(bars)))))
	if err != nil {
		return nil
	}
	c.Color = colours[0]
	c.LineStyle.Width = 0
	p := plot.New()
	p.Title.Text, p.Y.Label.Text = title, y
	p.Y.Min = 0
	p.Add(plotter.NewGrid(), c)
	p.NominalX(names...)
	p.X.Min, p.X.Max = -0.6, float64(len(bars))-0.4
	return p
}

// phaseBars is the mean device time of the probed steps by phase.
func (f *Figures) phaseBars() []bar {
	sum := map[string]float64{}
	for _, p := range f.Probes {
		for name, s := range p.Phases {
			sum[name] += 1000 * s / float64(len(f.Probes))
		}
	}
	var out []bar
	for _, name := range sorted(sum) {
		out = append(out, bar{name, sum[name]})
	}
	return out
}

func (f *Figures) memoryBars() []bar {
	var out []bar
	if f.End != nil {
		for _, role := range sorted(f.End.BytesByRole) {
			if n := f.End.BytesByRole[role]; n > 0 {
				out = append(out, bar{role, float64(n) / (1 << 20)})
			}
		}
	}
	return out
}

func (f *Figures) tokenBars() []bar {
	var out []bar
	for _, lang := range sorted(f.Tokens) {
		out = append(out, bar{lang, float64(f.Tokens[lang])})
	}
	return out
}

// weightLines is each language's weight, averaged over the buckets.
func (f *Figures) weightLines() []line {
	var out []line
	for i, lang := range f.Langs {
		l := line{name: lang, x: floats(f.Steps)}
		for k := range f.Steps {
			sum, n := 0.0, 0.0
			for b := range f.Buckets {
				if v := float64(f.Weights[b][i][k]); finite(v) {
					sum, n = sum+v, n+1
				}
			}
			l.y = append(l.y, report.Float(sum/n))
		}
		out = append(out, l)
	}
	return out
}

// noiseLines is each language's self-cosine, averaged over the buckets.
func (f *Figures) noiseLines() []line {
	var out []line
	for i, lang := range f.Langs {
		l := line{name: lang}
		for _, g := range f.Grams {
			sum, n := 0.0, 0.0
			for _, b := range g.Buckets {
				if i < len(b.Self) && finite(float64(b.Self[i])) {
					sum, n = sum+float64(b.Self[i]), n+1
				}
			}
			v := math.NaN()
			if n > 0 {
				v = sum / n
			}
			l.x, l.y = append(l.x, float64(g.Step)), append(l.y, report.Float(v))
		}
		out = append(out, l)
	}
	return out
}
