package main

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"concord/internal/infer"

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
	AB          string  `name:"ab" placeholder:"DIR" help:"Ask another model too, the base for example, and show both answers."`
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
	var talks []*talk
	for _, dir := range []string{c.Model, c.AB} {
		if dir == "" {
			continue
		}
		chat, err := infer.OpenChat(dir, c.Context, g, dev)
		if err != nil {
			return err
		}
		defer chat.Close()
		talks = append(talks, &talk{dir, chat})
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
	dir  string
	chat *infer.Chat
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
			for _, t := range talks {
				if len(talks) > 1 && !c.JSON {
					fmt.Printf("── %s\n", t.dir)
				}
				if err := c.ask(t.chat, g, question); err != nil {
					return err
				}
			}
		}
	}
}

// ask prints the answer to one question.
func (c *chatCmd) ask(talk *infer.Chat, g infer.Generation, question string) error {
	if !c.JSON {
		g.Stream = os.Stdout
	}
	out, err := talk.Ask(question, g)
	if err != nil {
		return err
	}
	if c.JSON {
		return printJSON(out)
	}
	fmt.Println()
	if out.Stopped == "length" {
		fmt.Fprintf(os.Stderr, "concord: cut after %d tokens: --max-tokens or --context\n", len(out.IDs))
	}
	return nil
}
