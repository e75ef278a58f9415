package audit

import (
	"fmt"
	"html"
	"html/template"
	"math"
	"strings"
	"unicode/utf8"

	"concord/internal/stats"
)

// Sizes of the pictures, in pixels.
const (
	forestWidth, forestRow          = 640, 26
	heatLabel, heatCell, heatHeight = 90, 64, 34
	barRow                          = 22
)

// labelWidth is the room that names need beside a chart, in pixels, also in the larger
// letters of a narrow screen.
func labelWidth(names []string) int {
	longest := 0
	for _, n := range names {
		longest = max(longest, utf8.RuneCountInString(n))
	}
	return min(270, max(50, 10*longest+20))
}

// caption is a line under a chart; outside of the picture it wraps on a narrow screen.
func caption(text string) string { return `<p class="caption">` + html.EscapeString(text) + "</p>" }

// dot is a row of a forest: an effect with its interval.
type dot struct {
	name  string
	d     stats.Difference
	class string // "better", "worse" or "even"
}

// scale maps values to pixels.
type scale struct{ lo, hi, from, to float64 }

func (s scale) at(v float64) float64 { return s.from + (s.to-s.from)*(v-s.lo)/(s.hi-s.lo) }

// forest draws effects with their intervals below one another; the grey band is the
// margin.
func forest(rows []dot, margin float64, what string) template.HTML {
	low, high := -1.5*margin, 1.5*margin
	for _, r := range rows {
		for _, v := range []float64{float64(r.d.Mean), float64(r.d.Lo), float64(r.d.Hi)} {
			if !math.IsNaN(v) {
				low, high = min(low, v), max(high, v)
			}
		}
	}
	pad := 0.06*(high-low) + 1e-9
	names := make([]string, len(rows))
	for i, r := range rows {
		names[i] = r.name
	}
	label := labelWidth(names)
	s := scale{low - pad, high + pad, float64(label), forestWidth - 10}
	bottom := float64(forestRow*len(rows) + 8)
	var b strings.Builder
	fmt.Fprintf(&b, `<svg class="forest" viewBox="0 0 %d %.0f" role="img" aria-label="%s">`, forestWidth, bottom+20,
		html.EscapeString(what))
	if margin > 0 {
		fmt.Fprintf(&b, `<rect class="band" x="%.1f" y="4" width="%.1f" height="%.1f"/>`, s.at(-margin), s.at(margin)-s.at(-margin), bottom-4)
	}
	for _, t := range ticks(s.lo, s.hi) {
		fmt.Fprintf(&b, `<line class="grid" x1="%.1f" x2="%.1f" y1="4" y2="%.1f"/><text class="tick" x="%.1f" y="%.1f">%.3g</text>`, s.at(t),
			s.at(t), bottom, s.at(t), bottom+14, t)
	}
	fmt.Fprintf(&b, `<line class="zero" x1="%.1f" x2="%.1f" y1="4" y2="%.1f"/>`, s.at(0), s.at(0), bottom)
	for i, r := range rows {
		y := float64(forestRow*i + forestRow/2 + 6)
		fmt.Fprintf(&b, `<text class="label" x="%d" y="%.1f">%s</text>`, label-12, y+4, html.EscapeString(r.name))
		if !math.IsNaN(float64(r.d.Lo)) {
			fmt.Fprintf(&b, `<line class="bar %s" x1="%.1f" x2="%.1f" y1="%.1f" y2="%.1f"/>`, r.class, s.at(float64(r.d.Lo)),
				s.at(float64(r.d.Hi)), y, y)
		}
		if !math.IsNaN(float64(r.d.Mean)) {
			fmt.Fprintf(&b, `<circle class="dot %s" cx="%.1f" cy="%.1f" r="4.5"><title>%s %s</title></circle>`, r.class, s.at(float64(r.d.Mean)),
				y, html.EscapeString(r.name), r.d)
		}
	}
	return template.HTML(b.String() + "</svg>" + caption(what))
}

// ticks are some round numbers between lo and hi.
func ticks(lo, hi float64) (out []float64) {
	step := math.Pow(10, math.Floor(math.Log10((hi-lo)/3)))
	for _, m := range []float64{5, 2} {
		if (hi-lo)/(step*m) >= 3 {
			step *= m
			break
		}
	}
	for i := math.Ceil(lo / step); i*step <= hi; i++ {
		out = append(out, i*step+0) // no −0
	}
	return out
}

// class is the colour of a verdict.
func class(v Verdict) string {
	switch v {
	case Helped:
		return "better"
	case Hurt:
		return "worse"
	}
	return "even"
}

// heat draws the languages that help each other: rows are languages' losses, columns the languages whose step
// it is. Effects that may be chance are pale.
func (t *Transfer) heat() template.HTML {
	m := len(t.Langs)
	most := 0.05
	for i := range m {
		for j := range m {
			if v := math.Abs(float64(t.Effect[i][j])); i != j && v > most {
				most = v
			}
		}
	}
	var b strings.Builder
	fmt.Fprintf(&b, `<div class="scroll"><svg class="heat" style="max-width:%dpx;min-width:%dpx" viewBox="0 0 %d %d" `+
		`role="img" aria-label="effect of one language's step on another's loss">`, heatLabel+m*heatCell, (heatLabel+m*heatCell)/2,
		heatLabel+m*heatCell, (m+1)*heatHeight)
	for j, l := range t.Langs {
		fmt.Fprintf(&b, `<text class="tick" x="%d" y="%d">%s</text>`, heatLabel+j*heatCell+heatCell/2, heatHeight-10, html.EscapeString(l))
	}
	for i, l := range t.Langs {
		y := (i + 1) * heatHeight
		fmt.Fprintf(&b, `<text class="label" x="%d" y="%d">%s</text>`, heatLabel-10, y+heatHeight/2+4, html.EscapeString(l))
		for j := range m {
			v := float64(t.Effect[i][j])
			if i == j || math.IsNaN(v) {
				continue
			}
			colour, opacity := "good", 0.12+0.75*math.Abs(v)/most
			if v < 0 {
				colour = "bad"
			}
			if !t.clear(i, j) {
				opacity = 0.06
			}
			fmt.Fprintf(&b, `<rect class="%s" x="%d" y="%d" width="%d" height="%d" fill-opacity="%.2f"><title>a step of %s on `+
				`%s: %.3f ± %s</title></rect><text class="tick in" x="%d" y="%d">%.2f</text>`,
				colour, heatLabel+j*heatCell+1, y+1, heatCell-2, heatHeight-2, opacity, html.EscapeString(t.Langs[j]), html.EscapeString(l), v,
				stats.Decimal(float64(t.Error[i][j]), 3),
				heatLabel+j*heatCell+heatCell/2, y+heatHeight/2+4, v)
		}
	}
	b.WriteString("</svg></div>")
	return template.HTML(b.String())
}

// bars draws the mean effect of another language in each part of the model.
func (t *Transfer) bars() template.HTML {
	low, high := 0.0, 0.05
	var names []string
	for _, l := range t.Layers {
		names = append(names, l.Name)
		low, high = min(low, float64(l.Mean), max(float64(l.Lowest), -2)), max(high, float64(l.Mean))
	}
	label := labelWidth(names)
	s := scale{low, high, float64(label), forestWidth - 10}
	var b strings.Builder
	fmt.Fprintf(&b, `<svg class="forest" viewBox="0 0 %d %d" role="img" aria-label="mean effect by part of the model">`, forestWidth,
		barRow*len(t.Layers)+24)
	for i, l := range t.Layers {
		y, v := float64(barRow*i+4), float64(l.Mean)
		if math.IsNaN(v) {
			continue
		}
		colour := "good"
		if v < 0 {
			colour = "bad"
		}
		fmt.Fprintf(&b, `<text class="label" x="%d" y="%.1f">%s</text><rect class="%s" x="%.1f" y="%.1f" width="%.1f" height="%d"/>`,
			label-12, y+12, html.EscapeString(l.Name), colour, min(s.at(0), s.at(v)), y, math.Abs(s.at(v)-s.at(0))+0.5, barRow-6)
		if low := float64(l.Lowest); !math.IsInf(low, 0) && low > -2 {
			fmt.Fprintf(&b, `<circle class="dot even" cx="%.1f" cy="%.1f" r="3"><title>the lowest pair: a step of %s on %s, %.3f</title></circle>`,
				s.at(low), y+7, html.EscapeString(l.Pair[1]), html.EscapeString(l.Pair[0]), low)
		}
	}
	bottom := float64(barRow*len(t.Layers) + 6)
	for _, v := range ticks(s.lo, s.hi) {
		fmt.Fprintf(&b, `<text class="tick" x="%.1f" y="%.1f">%.3g</text>`, s.at(v), bottom+12, v)
	}
	fmt.Fprintf(&b, `<line class="zero" x1="%.1f" x2="%.1f" y1="2" y2="%.1f"/></svg>`, s.at(0), s.at(0), bottom)
	return template.HTML(b.String() +
		caption("mean over pairs of languages, 1 is a step along one's own gradient; the dot is the lowest pair"))
}
