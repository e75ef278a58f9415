package compare

import (
	"fmt"
	"html"
	"html/template"
	"math"
	"strings"
)

// Sizes of the pictures, in pixels.
const (
	forestWidth, forestLabel, forestRow = 760, 190, 26
	curveWidth, curveHeight, curvePad   = 230, 120, 6
)

// forest draws each family's difference from the reference with its interval.
func (r *Report) forest() template.HTML {
	ref := r.family(r.Reference)
	if ref == nil {
		return ""
	}
	of := func(f Family) Difference { return f.VsRef }
	var rows []Family
	low, high := 0.0, 0.0
	families, names := r.distinct()
	for i, f := range families {
		d := of(f)
		if f.Chosen == f.Reference || math.IsNaN(float64(d.Mean)) {
			continue
		}
		f.Name = names[i]
		rows = append(rows, f)
		for _, v := range []float64{float64(d.Mean), float64(d.Lo), float64(d.Hi)} {
			if !math.IsNaN(v) {
				low, high = min(low, v), max(high, v)
			}
		}
	}
	if len(rows) == 0 {
		return ""
	}
	margin := 0.06*(high-low) + 1e-6
	s := scale{low - margin, high + margin, forestLabel, forestWidth - 10}
	return template.HTML(forestSVG(rows, of, s, ref.Name))
}

// scale maps values to pixels.
type scale struct{ lo, hi, from, to float64 }

func (s scale) at(v float64) float64 { return s.from + (s.to-s.from)*(v-s.lo)/(s.hi-s.lo) }

func forestSVG(rows []Family, of func(Family) Difference, s scale, ref string) string {
	var b strings.Builder
	height := forestRow*len(rows) + 44
	fmt.Fprintf(&b, `<svg class="forest" viewBox="0 0 %d %d" role="img" aria-label="differences from %s">`, forestWidth, height,
		html.EscapeString(ref))
	bottom := float64(forestRow*len(rows) + 8)
	for _, t := range ticks(s.lo, s.hi) {
		fmt.Fprintf(&b, `<line class="grid" x1="%.1f" x2="%.1f" y1="4" y2="%.1f"/><text class="tick" x="%.1f" y="%.1f">%s</text>`, s.at(t),
			s.at(t), bottom, s.at(t), bottom+14, tickText(t))
	}
	fmt.Fprintf(&b, `<line class="zero" x1="%.1f" x2="%.1f" y1="4" y2="%.1f"/>`, s.at(0), s.at(0), bottom)
	for i, f := range rows {
		y, d := float64(forestRow*i+forestRow/2+6), of(f)
		class := "even"
		switch { // as the verdict does
		case d.Better():
			class = "better"
		case d.Worse():
			class = "worse"
		}
		fmt.Fprintf(&b, `<text class="label" x="%d" y="%.1f">%s</text>`, forestLabel-12, y+4, html.EscapeString(f.Name))
		if !math.IsNaN(float64(d.Lo)) {
			fmt.Fprintf(&b, `<line class="bar %s" x1="%.1f" x2="%.1f" y1="%.1f" y2="%.1f"/>`, class, s.at(float64(d.Lo)), s.at(float64(d.Hi)), y, y)
		}
		fmt.Fprintf(&b, `<circle class="dot %s" cx="%.1f" cy="%.1f" r="4.5"><title>%s %s</title></circle>`, class, s.at(float64(d.Mean)), y,
			html.EscapeString(f.Name), d)
	}
	fmt.Fprintf(&b, `<text class="tick" x="%.1f" y="%.1f">Δ bits per byte from %s, trained languages: left is better</text></svg>`,
		(s.from+s.to)/2, bottom+30, html.EscapeString(ref))
	return b.String()
}

// ticks are some round numbers between lo and hi.
func ticks(lo, hi float64) []float64 {
	step := math.Pow(10, math.Floor(math.Log10((hi-lo)/3)))
	for _, m := range []float64{5, 2, 1} {
		if (hi-lo)/(step*m) >= 3 {
			step *= m
			break
		}
	}
	var out []float64
	for i := math.Ceil(lo / step); i*step <= hi; i++ {
		out = append(out, i*step)
	}
	return out
}

func tickText(v float64) string {
	if math.Abs(v) < 1e-12 {
		return "0"
	}
	return fmt.Sprintf("%.3g", v)
}

// curvePanel is one family's loss curve.
type curvePanel struct {
	Name string
	Last string // the last loss
	SVG  template.HTML
}

// curves draws the loss curves, one panel a family on common axes, with mean's
// behind each.
func (r *Report) curves() []curvePanel {
	low, high, steps := math.Inf(1), math.Inf(-1), 1
	for _, f := range r.Families {
		for _, p := range f.Curve {
			if v := float64(p.Loss); !math.IsNaN(v) {
				low, high, steps = min(low, v), max(high, v), max(steps, p.Step)
			}
		}
	}
	if !(high > low) {
		high = low + 1
	}
	x := scale{1, float64(steps) + 1e-9, curvePad, curveWidth - curvePad}
	y := scale{low, high, curveHeight - curvePad, curvePad}
	var out []curvePanel
	mean := r.family(familyMean)
	families, names := r.distinct()
	for i, f := range families {
		f.Name = names[i]
		var b strings.Builder
		fmt.Fprintf(&b, `<svg viewBox="0 0 %d %d" role="img" aria-label="loss of %s">`, curveWidth, curveHeight, html.EscapeString(f.Name))
		if mean != nil && f.Chosen != mean.Chosen {
			b.WriteString(polyline("ghost", mean.Curve, x, y))
		}
		b.WriteString(polyline("line", f.Curve, x, y) + "</svg>")
		last := none
		if n := len(f.Curve); n > 0 {
			last = decimal(float64(f.Curve[n-1].Loss), 3)
		}
		out = append(out, curvePanel{f.Name, last, template.HTML(b.String())})
	}
	return out
}

// polyline draws a curve; a value that is not a number breaks it.
func polyline(class string, curve []Point, x, y scale) string {
	var b strings.Builder
	begun := false
	for _, p := range curve {
		v := float64(p.Loss)
		if math.IsNaN(v) || math.IsInf(v, 0) {
			begun = false
			continue
		}
		op := "L"
		if !begun {
			op, begun = "M", true
		}
		fmt.Fprintf(&b, "%s%.1f %.1f", op, x.at(float64(p.Step)), y.at(v))
	}
	return fmt.Sprintf(`<path class="%s" d="%s"/>`, class, b.String())
}
