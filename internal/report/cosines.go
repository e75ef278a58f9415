package report

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"math"
	"os"
	"strings"

	"gonum.org/v1/gonum/stat/distuv"
)

// Cosines sums up the cosines between the languages' gradients over a run. Their
// intervals are by batch means: steps follow each other closely, so stretches of
// steps and not steps are taken for independent. The zero Cosines is ready.
type Cosines struct {
	langs  int
	series []series // of every pair, lower triangle row by row
	mean   series   // of the pairs' mean
	steps  int
	below  int // pairs and steps with a cosine below 0 …
	all    int // … of so many
}

// blocks is the most stretches of steps that a series keeps.
const blocks = 32

// series is a mean over steps, in stretches of equal length.
type series struct {
	sum, n []float64
	every  int // steps of a stretch
	seen   int // steps
}

func (s *series) add(v float64) {
	if s.every == 0 {
		s.every = 1
	}
	if s.seen == blocks*s.every { // full: neighbours join
		for i := range blocks / 2 {
			s.sum[i], s.n[i] = s.sum[2*i]+s.sum[2*i+1], s.n[2*i]+s.n[2*i+1]
		}
		s.sum, s.n, s.every = s.sum[:blocks/2], s.n[:blocks/2], 2*s.every
	}
	if at := s.seen / s.every; at == len(s.sum) {
		s.sum, s.n = append(s.sum, 0), append(s.n, 0)
	}
	s.seen++
	if !math.IsNaN(v) {
		s.sum[len(s.sum)-1] += v
		s.n[len(s.n)-1]++
	}
}

// estimate is the mean with Student's interval over the whole stretches, two-sided
// at 1 − level; without bounds for fewer than four.
func (s *series) estimate(level float64) Estimate {
	sum, n := 0.0, 0.0
	var means []float64
	for i := range s.sum {
		sum, n = sum+s.sum[i], n+s.n[i]
		if s.n[i] > 0 && (i+1)*s.every <= s.seen {
			means = append(means, s.sum[i]/s.n[i])
		}
	}
	value, half := sum/n, math.NaN()
	if k := float64(len(means)); k >= 4 {
		square, center := 0.0, 0.0
		for _, m := range means {
			center += m / k
		}
		for _, m := range means {
			square += (m - center) * (m - center)
		}
		half = distuv.StudentsT{Sigma: 1, Nu: k - 1}.Quantile(1-level/2) * math.Sqrt(square/(k-1)/k)
	}
	return Estimate{Float(value), Float(value - half), Float(value + half)}
}

// Add takes a step's record. A step without cosines changes nothing.
func (c *Cosines) Add(s Step) {
	if len(s.Cosines) == 0 {
		return
	}
	if len(c.series) != len(s.Cosines) {
		*c = Cosines{langs: int(math.Round((1 + math.Sqrt(1+8*float64(len(s.Cosines)))) / 2)), series: make([]series, len(s.Cosines))}
	}
	sum, n := 0.0, 0
	for i, v := range s.Cosines {
		x := float64(v)
		c.series[i].add(x)
		if math.IsNaN(x) {
			continue
		}
		sum, n = sum+x, n+1
		if c.all++; x < 0 {
			c.below++
		}
	}
	c.mean.add(sum / float64(n)) // NaN of none
	c.steps++
}

// Mean is the mean cosine between two languages so far, with its 95 % interval;
// false before the first.
func (c *Cosines) Mean() (Estimate, bool) {
	e := c.mean.estimate(0.05)
	return e, !math.IsNaN(float64(e.Value))
}

// Pairs are the mean cosines of all pairs so far, lower triangle row by row, with
// intervals that hold for all of them together (Bonferroni).
func (c *Cosines) Pairs() []Estimate {
	out := make([]Estimate, len(c.series))
	for i := range c.series {
		out[i] = c.series[i].estimate(0.05 / float64(len(c.series)))
	}
	return out
}

// Pair is two languages with the mean cosine between their gradients.
type Pair struct {
	A      string   `json:"a"`
	B      string   `json:"b"`
	Cosine Estimate `json:"cosine"` // its interval holds for all pairs of the run together (Bonferroni)
}

// Conflict is the summary of a run's cosines. Two languages' gradients conflict where
// the cosine between them is below 0. Without any relation half of all cosines are:
// only Below is more than chance.
type Conflict struct {
	Steps int      `json:"steps"`
	Pairs int      `json:"pairs"`
	Mean  Estimate `json:"mean_cosine"` // over steps and pairs
	Share Float    `json:"share"`       // of steps and pairs with a cosine below 0
	Below []Pair   `json:"below"`       // pairs whose mean is below 0 beyond chance
	Above int      `json:"above"`       // pairs whose mean is above 0 beyond chance
}

// Conflict sums up; nil where there was no cosine. langs are the languages' names.
func (c *Cosines) Conflict(langs []string) *Conflict {
	mean, ok := c.Mean()
	if !ok || len(langs) != c.langs {
		return nil
	}
	out := &Conflict{Steps: c.steps, Pairs: len(c.series), Mean: mean, Share: Float(float64(c.below) / float64(c.all)), Below: []Pair{}}
	pairs := c.Pairs()
	for i := range langs {
		for j := range i {
			e := pairs[i*(i-1)/2+j]
			switch {
			case e.High < 0:
				out.Below = append(out.Below, Pair{langs[j], langs[i], e})
			case e.Low > 0:
				out.Above++
			}
		}
	}
	return out
}

// Text is the mean as a step's line has it, "" before the first.
func (c *Cosines) Text() string {
	e, ok := c.Mean()
	switch {
	case !ok:
		return ""
	case math.IsNaN(float64(e.High)):
		return fmt.Sprintf("cos %+.3f", float64(e.Value))
	}
	return fmt.Sprintf("cos %+.3f±%.3f", float64(e.Value), float64(e.High-e.Value))
}

// Text is c in words, one line each.
func (c *Conflict) Text() []string {
	out := []string{fmt.Sprintf("gradients of two languages: mean cosine %+.3f%s over %d steps and %d pairs; below 0, where "+
		"they conflict, in %.0f%% (chance: 50%%)",
		float64(c.Mean.Value), bounds(c.Mean, "%+.3f", 1), c.Steps, c.Pairs, 100*float64(c.Share))}
	switch {
	case math.IsNaN(float64(c.Mean.Low)):
		out = append(out, "too few steps to tell conflict from chance")
	case len(c.Below) == 0:
		out = append(out, "no pair conflicts beyond chance")
	default:
		var pairs []string
		for _, p := range c.Below {
			pairs = append(pairs, fmt.Sprintf("%s–%s %+.3f%s", p.A, p.B, float64(p.Cosine.Value), bounds(p.Cosine, "%+.3f", 1)))
		}
		out = append(out, "pairs that conflict beyond chance: "+strings.Join(pairs, ", "))
	}
	return out
}

// ReadCosines sums up the steps in a metrics file; none where there is no file.
func ReadCosines(path string) (Cosines, error) {
	var c Cosines
	f, err := os.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return c, nil
	}
	if err != nil {
		return c, err
	}
	defer f.Close()
	in := bufio.NewReader(f)
	for {
		line, err := in.ReadBytes('\n')
		if err != nil { // the end, or a line that is being written
			return c, nil
		}
		var s struct {
			Kind    string  `json:"kind"`
			Cosines []Float `json:"cosines"`
		}
		if json.Unmarshal(line, &s) == nil && s.Kind == "step" {
			c.Add(Step{Cosines: s.Cosines})
		}
	}
}
