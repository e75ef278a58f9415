package main

import (
	"bufio"
	"cmp"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"concord/internal/device"
	"concord/internal/infer"
	"concord/internal/live"
	"concord/internal/train"

	"golang.org/x/term"
)

type chatCmd struct {
	Model       string  `arg:"" help:"Model folder or run folder." placeholder:"MODEL|RUN"`
	System      string  `placeholder:"TEXT" help:"What the system says first."`
	Template    string  `placeholder:"NAME" help:"Chat template in the place of the model's own: chatml, or a file."`
	Context     int     `default:"0" help:"Tokens of the whole conversation; 0 is what the model knows, 4096 at most."`
	MaxTokens   int     `default:"512" help:"Tokens of an answer at most."`
	Temperature float64 `default:"0" help:"0 takes the likeliest token."`
	TopP        float64 `name:"top-p" default:"1" help:"Sample from the smallest set of tokens with this probability."`
	Seed        uint64  `default:"1" help:"Same seed, same answers."`
	AB          string  `name:"ab" placeholder:"base|DIR" help:"${chat_ab}"`
	JSON        bool    `help:"Print each answer as JSON."`
	deviceFlags
}

func (c *chatCmd) Run() error {
	if c.Context < 0 {
		return usagef("--context %d: give 0 or a number of tokens", c.Context)
	}
	dev, err := c.options()
	if err != nil {
		return err
	}
	g := infer.Generation{System: c.System, Template: c.Template, MaxTokens: c.MaxTokens,
		Temperature: c.Temperature, TopP: c.TopP, Seed: c.Seed}
	talks, err := c.open(g, dev)
	for _, t := range talks {
		defer t.chat.Close()
	}
	if err != nil {
		return err
	}
	prompt := ""
	if term.IsTerminal(int(os.Stdin.Fd())) {
		fmt.Fprintln(os.Stderr, "concord: a line is a question; /new begins anew, /quit or Ctrl-D ends")
		prompt = "› "
	}
	return c.converse(talks, g, os.Stdin, prompt)
}

// talk is the conversation with one model.
type talk struct {
	name string
	chat *infer.Chat
}

// ofRun is the word for the base model of the run that is asked.
const ofRun = "base"

// open opens the model and the one that --ab names; those that are open already come with
// an error too.
func (c *chatCmd) open(g infer.Generation, dev device.Options) (talks []*talk, err error) {
	add := func(name, dir string, g infer.Generation) error {
		chat, err := infer.OpenChat(dir, c.Context, g, dev)
		if err == nil {
			talks = append(talks, &talk{name, chat})
		}
		return err
	}
	if err := add(c.Model, c.Model, g); err != nil || c.AB == "" {
		return talks, err
	}
	if c.AB != ofRun {
		return talks, add(c.AB, c.AB, g)
	}
	base, template, err := train.BaseModel(c.Model)
	if err != nil {
		return talks, err
	}
	g.Template = cmp.Or(g.Template, template)
	return talks, add(fmt.Sprintf("base (%s)", base), base, g)
}

// converse asks line by line until the input ends.
func (c *chatCmd) converse(talks []*talk, g infer.Generation, in io.Reader, prompt string) error {
	lines := bufio.NewReader(in)
	for {
		fmt.Fprint(os.Stderr, prompt)
		line, err := lines.ReadString('\n')
		if err != nil && !errors.Is(err, io.EOF) {
			return usagef("standard input: %v", err)
		}
		switch question := strings.TrimRight(line, "\r\n"); {
		case question == "/quit" || question == "" && err != nil:
			return nil
		case question == "":
		case question == "/new":
			for _, t := range talks {
				t.chat.New()
			}
		case strings.HasPrefix(question, "/"):
			fmt.Fprintf(os.Stderr, "concord: %s is not known: /new begins anew, /quit ends\n", question)
		default:
			if err := c.askAll(talks, g, question); err != nil {
				return err
			}
		}
	}
}

// askAll asks every model: answers stand side by side on a terminal that is wide enough, else
// one below the other as they come.
func (c *chatCmd) askAll(talks []*talk, g infer.Generation, question string) error {
	screen := 0
	if fd := int(os.Stdout.Fd()); len(talks) > 1 && !c.JSON && term.IsTerminal(fd) {
		screen, _, _ = term.GetSize(fd) // 0 where it is not known
	}
	beside := live.Columns(make([]string, len(talks)), make([]string, len(talks)), screen) != ""
	var names, texts []string
	for _, t := range talks {
		if len(talks) > 1 && !c.JSON && !beside {
			fmt.Printf("── %s\n", t.name)
		}
		if !c.JSON && !beside {
			g.Stream = os.Stdout
		}
		out, err := t.chat.Ask(question, g)
		if err != nil {
			return err
		}
		names, texts = append(names, t.name), append(texts, out.Text)
		if err := c.after(out, beside); err != nil {
			return err
		}
	}
	if beside {
		fmt.Print(live.Columns(names, texts, screen))
	}
	return nil
}

// after ends an answer, which is on the screen already unless it waits for the other.
func (c *chatCmd) after(out *infer.Generated, waits bool) error {
	if c.JSON {
		return printJSON(out)
	}
	if !waits {
		fmt.Println()
	}
	if out.Stopped == "length" {
		fmt.Fprintf(os.Stderr, "concord: cut after %d tokens: --max-tokens or --context\n", len(out.IDs))
	}
	return nil
}
