package main

import (
	"errors"
	"fmt"
	"strings"

	"concord/gpu"
	"concord/internal/config"
	"concord/internal/report"
	"concord/internal/train"
)

// assumed is the card that a run file is written for where there is no GPU adapter, in bytes.
var assumed = int64(8 << 30)

// fitted is the device that a run file is written for, and the settings by which its run fits.
type fitted struct {
	name     string // for people
	budget   int64
	proposal train.Proposal
}

// fit chooses the settings by which the run file's run trains on the device, or on --card.
func (c *initCmd) fit(l *lengths) error {
	cfg, err := config.Load(c.Out, nil)
	if err != nil {
		return err
	}
	card, err := c.card(cfg)
	if err != nil {
		return err
	}
	p, err := train.NewPlanner(cfg)
	if err != nil {
		return err
	}
	l.device.name, l.device.budget = card.Name, card.Memory
	l.device.proposal, err = p.Propose(card)
	return err
}

// card is the device that the run file is written for.
func (c *initCmd) card(cfg *config.Config) (train.Card, error) {
	if c.Card != "" {
		n, err := config.ParseSize(c.Card)
		if err != nil {
			return train.Card{}, usagef("--card: %v", err)
		}
		return train.Card{Name: "a card of " + c.Card, Type: gpu.Discrete, Memory: int64(train.CardShare * float64(n))}, nil
	}
	card, err := train.DeviceCard(cfg)
	if errors.Is(err, gpu.ErrNoAdapter) {
		return train.Card{Name: "a card of 8 GB, which is assumed, as no GPU adapter was found", Type: gpu.Discrete,
			Memory: int64(train.CardShare * float64(assumed))}, nil
	}
	return card, err
}

// changes are the settings that the device asks for, in the order of the file.
func (f *fitted) changes() (out []string) {
	for _, key := range train.ProposedKeys {
		if v, ok := f.proposal.Settings[key]; ok {
			out = append(out, key+" = "+v)
		}
	}
	return out
}

// says is the plan in a sentence.
func (f *fitted) says() string {
	return fmt.Sprintf("a step takes %s of the %s that a run may use on %s", report.Bytes(f.proposal.Peak), report.Bytes(f.budget), f.name)
}

// why says why the run file has more settings than the run itself needs, "" if it has not.
func (f *fitted) why() string {
	if len(f.changes()) == 0 {
		return ""
	}
	if f.proposal.Whole == 0 { // refused for another reason than memory
		return fmt.Sprintf("it does not run here without %s", strings.Join(f.changes(), ", "))
	}
	return fmt.Sprintf("without %s it takes %s", strings.Join(f.changes(), ", "), report.Bytes(f.proposal.Whole))
}

// tell prints both.
func (f *fitted) tell() {
	fmt.Printf(" memory  %s\n", f.says())
	if why := f.why(); why != "" {
		fmt.Printf("         %s\n", why)
	}
	if f.proposal.Adapter {
		fmt.Println("         an adapter is trained: all of the model's own weights do not fit")
	}
}

// line is a setting that the device asks for, with a comment; "" where it does not.
func (f *fitted) line(key, comment string) string {
	v, ok := f.proposal.Settings[key]
	if !ok {
		return ""
	}
	_, name, _ := strings.Cut(key, ".")
	return fmt.Sprintf("%s = %s # %s\n", name, v, comment)
}

// or is the setting's value that the device asks for, or else another.
func (f *fitted) or(key string, value any) string {
	if v, ok := f.proposal.Settings[key]; ok {
		return v
	}
	return fmt.Sprint(value)
}

// settings are the run file above its sources, a comment with each.
func (l *lengths) settings(model, template string) string {
	var b strings.Builder
	f := &l.device
	b.WriteString("# Written by concord init. Every key: concord config explain KEY, or docs/config.md.\n")
	if f.name != "" {
		fmt.Fprintf(&b, "# Memory: %s;\n# concord plan FILE has it by purpose, and for other devices.\n", f.says())
		if why := f.why(); why != "" {
			fmt.Fprintf(&b, "# %s%s.\n", strings.ToUpper(why[:1]), why[1:])
		}
	}
	fmt.Fprintf(&b, "\n[model]\npath = %q # the base model; paths are relative to this file\n", model)
	b.WriteString(f.line("model.dtype", "trained weights in 2 bytes each, for less memory; the results are nearly those of 4") +
		f.line("model.base_type", "the base model's weights in fewer bits, for less memory; it is not trained"))
	if f.proposal.Adapter {
		b.WriteString("\n[adapter]\n" + f.line("adapter.kind", "trains small matrices beside the model's weights, which are too large to train") +
			"rank = 16 # of these matrices; more learn more, and take more memory\n")
	}
	fmt.Fprintf(&b, "\n[batch]\nrows = %s # computed at one time, each of one language", f.or("batch.rows", l.rows))
	if k, ok := f.proposal.Settings["batch.accumulate"]; ok {
		fmt.Fprintf(&b, "\naccumulate = %s # times as many are a step: %d rows, which do not fit at one time", k, l.rows)
	}
	fmt.Fprintf(&b, "; a step has %d × %d = %s tokens, and at least a row for each language\n", l.rows, l.seqLen,
		report.Count(int64(l.rows*l.seqLen)))
	b.WriteString(f.line("batch.logits_chunk", "tokens whose logits exist at one time, for less memory"))
	fmt.Fprintf(&b, "seq_len = %d # tokens of a row; holds 95 of 100 examples of every language whole\n", l.seqLen)
	b.WriteString("\n[data]\ntemperature = 3.0 # smaller languages are drawn more often; 1.0: as the data is\n")
	if template != "" {
		fmt.Fprintf(&b, "template = %q # renders conversations\n", template)
	}
	b.WriteString("\n[objective]\nmethod = \"pcgrad\" # token-mean is plain fine-tuning; concord moo methods lists all\n" +
		f.line("objective.gram", "conflicts are found without gradient rows, for less memory") +
		f.line("objective.in_flight", "fewer groups wait to be resolved, for less memory; the same results"))
	lr := "2e-5 # the highest learning rate; with little data, or an adapter, 2e-4"
	if f.proposal.Adapter {
		lr = "2e-4 # the highest learning rate, of an adapter"
	}
	b.WriteString("\n[optim]\nlr = " + lr + "\n" + f.line("optim.moments", "the optimizer's state in 1 byte a value, for less memory") +
		f.line("optim.in_backward", "each gradient is applied at once, for less memory; it is clipped by the last step's norm"))
	b.WriteString("\n[schedule]\nepochs = 1.0 # how often the data is read; small languages more often, by temperature\n" +
		"\n[eval]\nevery = 100 # steps between measurements of held-out data; also before and after the run\n")
	if l.many {
		b.WriteString("error = 0.02 # as many held-out documents are measured as put each language's bits per byte within ± 0.02; 0: all\n")
	}
	if l.prompts {
		b.WriteString("samples = 3 # held-out prompts of each language that the model answers each time: they are in the report\n")
	}
	b.WriteString("\n[memory]\nfit = \"auto\" # where a step does not fit the device, the same step in less memory\n" +
		f.line("memory.checkpointing", "activations are computed twice, for less memory; the same results"))
	return b.String()
}
