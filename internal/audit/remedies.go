package audit

import (
	"fmt"
	"slices"

	"concord/internal/param"
	"concord/internal/train"
	"concord/moo"
)

// remedy is something that may help languages that are hurt. Its run is the mixture's but
// for the settings that change sets.
type remedy struct {
	name   string
	what   string // for people
	change func(*train.Varied)
	// fits says that it makes sense for the run file; nil: always.
	fits func(*train.Varied) bool
}

// method is the remedy of resolving conflicts by a method at a scope.
func method(name string, scope train.Scope) remedy {
	return remedy{name: fmt.Sprintf("%s by %s", name, scope), what: fmt.Sprintf("resolve conflicts with %s, scope = %q", name, string(scope)),
		change: func(c *train.Varied) {
			c.Objective.Method, c.Objective.Scope = name, scope
		}}
}

// unaligned says that the run file draws languages by their shares.
func unaligned(c *train.Varied) bool { return c.Data.Align == "" }

// hurtTwice is the remedy of static weights.
const hurtTwice = "hurt languages twice"

// remedies are tried in this order.
func (a *audit) remedies() []remedy {
	base := a.base
	all := []remedy{
		{name: armLonger, what: "schedule.steps doubled: more training", change: func(c *train.Varied) { c.Schedule.Steps *= 2 }},
		{name: "temperature 5", what: "data.temperature = 5.0: languages of more equal size",
			change: func(c *train.Varied) { c.Data.Temperature = 5 },
			fits:   func(c *train.Varied) bool { return unaligned(c) && c.Data.Temperature < 3 && a.uneven() }},
		{name: "temperature 1", what: "data.temperature = 1.0: languages as the data is",
			change: func(c *train.Varied) { c.Data.Temperature = 1 },
			fits:   func(c *train.Varied) bool { return unaligned(c) && c.Data.Temperature >= 3 }},
		method("mgda", train.ScopeGlobal), method("pcgrad", train.ScopeLayer), method("imtl-g", train.ScopeGlobal), method("cagrad",
			train.ScopeLayer),
		method("pcgrad", train.ScopeGlobal),
		{name: hurtTwice, what: "static weights: the hurt languages count twice", change: a.weighHurt,
			fits: func(*train.Varied) bool { return len(a.plan.Hurt) < len(a.langs) }}, // of all languages it is the mean
		{name: "half the steps", what: "schedule.steps halved: less training", change: func(c *train.Varied) {
			c.Schedule.Steps = max(1,
				c.Schedule.Steps/2)
		}},
		{name: "lower layers frozen", what: "model.freeze: embeddings and the lower half of the layers", change: a.freezeLower,
			fits: func(c *train.Varied) bool { return a.layers > 1 && !c.Adapted() }},
	}
	for _, rank := range []int{4, 32} {
		all = append(all, lora(rank))
	}
	return slices.DeleteFunc(all, func(r remedy) bool { return r.fits != nil && !r.fits(&base) })
}

// loraRate is the learning rate of an adapter, in that of training the model itself: ten
// times is usual.
const loraRate = 10

// lora is the remedy of training an adapter in place of the model, or one of another rank.
func lora(rank int) remedy {
	return remedy{name: fmt.Sprintf("LoRA rank %d", rank), what: fmt.Sprintf("[adapter] kind = \"lora\", rank = %d, "+
		"alpha = %d, on all linear layers; in place of the model, at %d times the learning rate", rank, 2*rank, loraRate),
		fits: func(c *train.Varied) bool {
			return c.Adapter.From == "" && len(c.Freeze) == 0 && !(c.Adapted() && c.Adapter.Rank == rank)
		},
		change: func(c *train.Varied) {
			if !c.Adapted() {
				c.Adapter.Kind, c.Adapter.Targets = "lora", []string{"all-linear"}
				c.LR *= loraRate
			}
			c.Adapter.Rank, c.Adapter.Alpha = rank, float64(2*rank)
		}}
}

// remedy is the one of a name.
func (a *audit) remedy(name string) (remedy, bool) {
	all := append(a.remedies(), resolving...)
	i := slices.IndexFunc(all, func(r remedy) bool { return r.name == name })
	if i < 0 {
		return remedy{}, false
	}
	return all[i], true
}

// uneven says that some language has at least half as much again as another.
func (a *audit) uneven() bool { return slices.Max(a.tokens) > 1.5*slices.Min(a.tokens) }

// weighHurt counts the languages that are hurt twice.
func (a *audit) weighHurt(c *train.Varied) {
	c.Objective.Method, c.Objective.Weights = moo.Static, map[string]float64{}
	for _, l := range a.langs {
		c.Objective.Weights[l] = 1
		if slices.Contains(a.plan.Hurt, l) {
			c.Objective.Weights[l] = 2
		}
	}
}

// freezeLower freezes the embeddings and the lower half of the layers.
func (a *audit) freezeLower(c *train.Varied) {
	c.Freeze = slices.Clone(c.Freeze)
	for _, p := range a.params {
		if p.Kind == param.Embedding || p.Layer != param.NoLayer && p.Layer < a.layers/2 {
			c.Freeze = append(c.Freeze, p.Name)
		}
	}
}
