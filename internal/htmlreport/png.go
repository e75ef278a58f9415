package htmlreport

import (
	"errors"
	"fmt"
	"image/color"
	"maps"
	"math"
	"os"
	"path/filepath"
	"slices"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/plotter"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"
	"gonum.org/v1/plot/vg/vgimg"

	"concord/internal/report"
)

func sorted[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }

// colours are Okabe and Ito's, as on the page.
var colours = []color.RGBA{{0, 114, 178, 255}, {213, 94, 0, 255}, {0, 158, 115, 255}, {204, 121, 167, 255}, {230, 159, 0, 255},
	{86, 180, 233, 255}, {140, 107, 177, 255}, {127, 127, 127, 255}}

// dashes and shapes tell lines apart whose colours repeat.
var (
	dashes = [][]vg.Length{{vg.Points(2), vg.Points(2)}, {vg.Points(6), vg.Points(3)}, {vg.Points(1), vg.Points(3)},
		{vg.Points(8), vg.Points(2), vg.Points(2), vg.Points(2)}}
	shapes = []draw.GlyphDrawer{draw.CircleGlyph{}, draw.SquareGlyph{}, draw.TriangleGlyph{}, draw.PyramidGlyph{}}
)

// line is one series of a picture; y may hold NaN.
type line struct {
	name   string
	x      []float64
	y      []report.Float
	dashed bool
}

// WritePNG writes one picture per figure to dir, which is made, and returns their
// paths. Figures that the run has no data for are left out.
func (f *Figures) WritePNG(dir string) ([]string, error) {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, err
	}
	var out []string
	for _, p := range f.pictures() {
		if p.plot == nil {
			continue
		}
		path := filepath.Join(dir, p.name+".png")
		if err := p.save(path); err != nil {
			return out, fmt.Errorf("%s: %w", path, err)
		}
		out = append(out, path)
	}
	return out, nil
}

// picture is one file; plot is nil where there is nothing to draw.
type picture struct {
	name   string
	plot   *plot.Plot
	height vg.Length
}

// save draws the plot with its legend beside it, so that it hides no data.
func (p picture) save(path string) error {
	c := vgimg.NewWith(vgimg.UseWH(9*vg.Inch, p.height), vgimg.UseBackgroundColor(color.White))
	whole, side := draw.New(c), vg.Length(0)
	legend := p.plot.Legend
	p.plot.Legend = plot.NewLegend()
	if w := legend.Rectangle(whole).Size().X; w > 0 {
		side = w + vg.Points(14)
	}
	p.plot.Draw(draw.Crop(whole, 0, -side, 0, 0))
	legend.Top, legend.Left = true, true
	legend.XOffs, legend.YOffs = 0, -vg.Points(20)
	legend.Draw(draw.Crop(whole, 9*vg.Inch-side+vg.Points(8), 0, 0, 0))
	f, err := os.Create(path)
	if err != nil {
		return err
	}
	_, err = vgimg.PngCanvas{Canvas: c}.WriteTo(f)
	return errors.Join(err, f.Close())
}

func (f *Figures) pictures() []picture {
	const tall = 5 * vg.Inch
	out := []picture{
		{"loss", chart("Training loss by language", "step", "nats per token", f.lossLines()), tall},
		{"bits_per_byte", chart("Held-out bits per byte (unseen: never trained on)", "step", "bits per byte", f.evalLines()), tall},
		{"conflicts", chart("Share of pairs with a cosine below 0 by bucket (chance: 0.5)", "step", "share", f.stepLines(f.Conflict)), tall},
		{"angle", chart("Angle between the resolved and the mean gradient", "step", "degrees",
			f.gramLines(func(b bucketSnapshot) report.Float { return b.Angle })), tall},
		{"length", chart("Length of the resolved over that of the mean gradient", "step", "ratio",
			f.gramLines(func(b bucketSnapshot) report.Float { return b.Ratio })), tall},
		{"gap", chart("Stationarity gap (dashed: whole model)", "step", "gap", f.gapLines()), tall},
		{"learning_rate", chart("Learning rate", "step", "learning rate", []line{{name: "learning rate", x: floats(f.Steps), y: f.LR}}), tall},
		{"gradient_norm", chart("Norm of the resolved gradient, before clipping", "step", "norm",
			[]line{{name: "gradient norm", x: floats(f.Steps), y: f.GradNorm}}), tall},
		{"rate", chart("Tokens per second", "step", "tokens/s", []line{{name: "tokens/s", x: floats(f.Steps), y: f.Rate}}), tall},
		{"probes", f.probePlot(), 6 * vg.Inch},
		{"cosines", f.cosinePlot(), 7 * vg.Inch},
		{"weights", chart("Weights of the languages, mean of the buckets", "step", "weight", f.weightLines()), tall},
		{"noise", chart("Self-cosine of the languages' halves, mean of the buckets", "step", "cosine", f.noiseLines()), tall},
		{"phases", barPlot("Device time of the probed steps by phase", "ms", f.phaseBars()), tall},
		{"memory", barPlot("Device memory at the peak by role", "MiB", f.memoryBars()), tall},
		{"tokens", barPlot("Supervised tokens trained on", "tokens", f.tokenBars()), tall},
	}
	return out
}

func floats(x []int) []float64 {
	out := make([]float64, len(x))
	for i, v := range x {
		out[i] = float64(v)
	}
	return out
}

func (f *Figures) lossLines() []line {
	var out []line
	for i, lang := range f.Langs {
		if i < len(f.Loss) {
			out = append(out, line{name: lang, x: floats(f.Steps), y: f.Loss[i]})
		}
	}
	return out
}

func (f *Figures) evalLines() []line {
	at := map[string]int{}
	var out []line
	for _, e := range f.Evals {
		for _, r := range e.Rows {
			k, ok := at[r.Lang]
			if !ok {
				k = len(out)
				at[r.Lang] = k
				name := r.Lang
				if !r.Seen {
					name += " (unseen)"
				}
				out = append(out, line{name: name, dashed: !r.Seen})
			}
			out[k].x, out[k].y = append(out[k].x, float64(e.Step)), append(out[k].y, r.BitsPerByte)
		}
	}
	return out
}

func (f *Figures) stepLines(values [][]report.Float) []line {
	var out []line
	for b, name := range f.Buckets {
		out = append(out, line{name: name, x: floats(f.Steps), y: values[b]})
	}
	return out
}

func (f *Figures) gramLines(pick func(bucketSnapshot) report.Float) []line {
	at := map[string]int{}
	var out []line
	for _, g := range f.Grams {
		for _, b := range g.Buckets {
			k, ok := at[b.Name]
			if !ok {
				k = len(out)
				at[b.Name] = k
				out = append(out, line{name: b.Name})
			}
			out[k].x, out[k].y = append(out[k].x, float64(g.Step)), append(out[k].y, pick(b))
		}
	}
	return out
}

func (f *Figures) gapLines() []line {
	out := f.gramLines(func(b bucketSnapshot) report.Float { return b.Gap })
	whole := line{name: "whole model", dashed: true}
	for _, g := range f.Grams {
		whole.x, whole.y = append(whole.x, float64(g.Step)), append(whole.y, g.Gap)
	}
	if len(f.Grams) > 0 {
		out = append(out, whole)
	}
	return out
}

// chart draws lines, nil when none has a value. Names that a legend has no room for
// are left out of it.
func chart(title, x, y string, lines []line) *plot.Plot {
	p := plot.New()
	p.Title.Text, p.X.Label.Text, p.Y.Label.Text = title, x, y
	p.Legend.Top = true
	p.Legend.XOffs, p.Legend.TextStyle.Font.Size = vg.Points(-4), vg.Points(8)
	p.Add(plotter.NewGrid())
	drawn := 0
	for i, l := range lines {
		var pts plotter.XYs
		for k, v := range l.y {
			if finite(float64(v)) {
				pts = append(pts, plotter.XY{X: l.x[k], Y: float64(v)})
			}
		}
		if len(pts) == 0 {
			continue
		}
		curve, dots, err := plotter.NewLinePoints(pts)
		if err != nil {
			continue
		}
		drawn++
		curve.Color, dots.Color = colours[i%len(colours)], colours[i%len(colours)]
		curve.Width, dots.Shape, dots.Radius = vg.Points(1.2), draw.CircleGlyph{}, vg.Points(1.4)
		if l.dashed || i >= len(colours) { // colours repeat: dashes and marks tell the rest
			curve.Dashes = dashes[i/len(colours)%len(dashes)]
			dots.Shape = shapes[i/len(colours)%len(shapes)]
		}
		p.Add(curve)
		if len(pts) < 30 || len(pts) < len(l.y) && len(pts) <= 150 {
			p.Add(dots)
		}
		if i < 32 {
			p.Legend.Add(l.name, curve, dots)
		}
	}
	if drawn == 0 {
		return nil
	}
	return p
}

// probePlot is predicted against realised, with the diagonal.
func (f *Figures) probePlot() *plot.Plot {
	p := plot.New()
	p.Title.Text, p.X.Label.Text, p.Y.Label.Text = "Change of each language's loss in probed steps", "predicted, nats", "realised, nats"
	p.Legend.Top, p.Legend.Left = true, true
	p.Add(plotter.NewGrid())
	low, high := math.Inf(1), math.Inf(-1)
	for i, lang := range f.Langs {
		var pts plotter.XYs
		for _, q := range f.Probes {
			x, ok := q.Predicted[lang]
			y := q.Realised[lang]
			if ok && finite(float64(x)) && finite(float64(y)) {
				pts = append(pts, plotter.XY{X: float64(x), Y: float64(y)})
				low, high = min(low, float64(x), float64(y)), max(high, float64(x), float64(y))
			}
		}
		if s, err := plotter.NewScatter(pts); err == nil && len(pts) > 0 {
			s.Color, s.Shape = colours[i%len(colours)], draw.CircleGlyph{}
			p.Add(s)
			p.Legend.Add(lang, s)
		}
	}
	if low > high {
		return nil
	}
	if diagonal, err := plotter.NewLine(plotter.XYs{{X: low, Y: low}, {X: high, Y: high}}); err == nil {
		diagonal.Dashes = []vg.Length{vg.Points(4), vg.Points(3)}
		p.Add(diagonal)
	}
	return p
}

// grid is a cosine matrix for a heat map, first language at the top.
type grid struct {
	n   int
	cos []report.Float
}

func (g grid) Dims() (c, r int)   { return g.n, g.n }
func (g grid) X(c int) float64    { return float64(c) }
func (g grid) Y(r int) float64    { return float64(r) }
func (g grid) Z(c, r int) float64 { return float64(g.cos[(g.n-1-r)*g.n+c]) }

// diverging goes from red for −1 over white to blue for 1, as on the page.
type diverging struct{}

func (diverging) Colors() []color.Color {
	out := make([]color.Color, 255)
	for i := range out {
		v := float64(i)/127 - 1
		end := colours[0]
		if v < 0 {
			end = color.RGBA{178, 24, 43, 255}
		}
		mix := func(c uint8) uint8 { return uint8(255 - math.Abs(v)*float64(255-c)) }
		out[i] = color.RGBA{mix(end.R), mix(end.G), mix(end.B), 255}
	}
	return out
}

// overWholeRun is the run's mean cosines as a matrix.
func (f *Figures) overWholeRun() ([]report.Float, bool) {
	if len(f.Cosines) == 0 {
		return nil, false
	}
	n := len(f.Langs)
	out := make([]report.Float, n*n)
	for i := range n {
		out[i*n+i] = 1
		for j := range i {
			v := f.Cosines[0].Pairs[i*(i-1)/2+j].Value
			out[i*n+j], out[j*n+i] = v, v
		}
	}
	return out, true
}

// cosinePlot is the whole run's, or else the last snapshot's, of the whole model.
func (f *Figures) cosinePlot() *plot.Plot {
	if len(f.Grams) == 0 || len(f.Langs) == 0 {
		return nil
	}
	last := f.Grams[len(f.Grams)-1]
	g := grid{len(f.Langs), last.Cosines}
	p := plot.New()
	p.Title.Text = fmt.Sprintf("Cosines between the languages' gradients, step %d", last.Step)
	if run, ok := f.overWholeRun(); ok {
		g.cos, p.Title.Text = run, "Mean cosines between the languages' gradients over the run"
	}
	h := plotter.NewHeatMap(g, diverging{})
	h.Min, h.Max = -1, 1
	p.Add(h)
	var ticks, back []plot.Tick
	for i, lang := range f.Langs {
		ticks = append(ticks, plot.Tick{Value: float64(i), Label: lang})
		back = append(back, plot.Tick{Value: float64(g.n - 1 - i), Label: lang})
	}
	p.X.Tick.Marker, p.Y.Tick.Marker = plot.ConstantTicks(ticks), plot.ConstantTicks(back)
	return p
}
