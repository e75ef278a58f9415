package main

import (
	"cmp"
	"fmt"
	"io"
	"os"

	"concord/internal/infer"
)

type generateCmd struct {
	Model       string   `required:"" help:"Model folder or run folder." placeholder:"DIR"`
	Text        *string  `arg:"" optional:"" name:"prompt" help:"${generate_text}"`
	Prompt      *string  `placeholder:"TEXT" help:"The same as a flag."`
	Raw         bool     `help:"Continue the text as it is, without the model's chat template."`
	System      string   `placeholder:"TEXT" help:"What the system says first, by the chat template."`
	Template    string   `placeholder:"NAME" help:"Chat template in the place of the model's own: chatml, or a file."`
	MaxTokens   int      `default:"64" help:"Tokens to sample at most."`
	Temperature float64  `default:"0" help:"0 takes the likeliest token."`
	TopP        float64  `name:"top-p" default:"1" help:"Sample from the smallest set of tokens with this probability."`
	Seed        uint64   `default:"1" help:"Same seed, same text."`
	Stop        []string `sep:"none" placeholder:"TEXT" help:"Also stop at this text; repeatable."`
	JSON        bool     `help:"Print as JSON."`
	deviceFlags
}

func (c *generateCmd) Run() error {
	dev, err := c.options()
	if err != nil {
		return err
	}
	prompt, err := c.prompt(os.Stdin)
	if err != nil {
		return err
	}
	if c.Raw && c.System+c.Template != "" {
		return usagef("--raw uses no chat template: leave --system and --template out")
	}
	g := infer.Generation{Prompt: prompt, Raw: c.Raw, System: c.System, Template: c.Template,
		MaxTokens: c.MaxTokens, Temperature: c.Temperature, TopP: c.TopP, Seed: c.Seed, Stop: c.Stop}
	if !c.JSON {
		g.Stream = os.Stdout
	}
	out, err := infer.Generate(c.Model, g, dev)
	if err != nil {
		return err
	}
	if c.JSON {
		return printJSON(out)
	}
	fmt.Println()
	return nil
}

// prompt is the text to continue, given as an argument, a flag, or on in.
func (c *generateCmd) prompt(in io.Reader) (string, error) {
	p := cmp.Or(c.Text, c.Prompt)
	switch {
	case c.Text != nil && c.Prompt != nil:
		return "", usagef("give the prompt as an argument or with --prompt, not both")
	case p == nil:
		return "", usagef("no prompt: concord generate --model DIR \"text\"; - reads standard input")
	case *p != "-":
		return *p, nil
	}
	b, err := io.ReadAll(in)
	if err != nil {
		return "", usagef("standard input: %v", err)
	}
	return string(b), nil
}
