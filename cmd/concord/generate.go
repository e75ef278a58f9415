package main

import (
	"fmt"
	"io"
	"os"

	"concord/internal/train"
)

type generateCmd struct {
	Model       string   `required:"" help:"Model folder or run folder." placeholder:"DIR"`
	Prompt      string   `arg:"" help:"Text to continue; - reads standard input."`
	MaxTokens   int      `default:"64" help:"Tokens to sample at most."`
	Temperature float64  `default:"0" help:"0 takes the likeliest token."`
	TopP        float64  `name:"top-p" default:"1" help:"Sample from the smallest set of tokens with this probability."`
	Seed        uint64   `default:"1" help:"Same seed, same text."`
	Stop        []string `sep:"none" placeholder:"TEXT" help:"Also stop at this text; repeatable."`
	JSON        bool     `help:"Print as JSON."`
	deviceFlags
}

func (c *generateCmd) Run() error {
	dev, err := c.config()
	if err != nil {
		return err
	}
	if c.Prompt == "-" {
		b, err := io.ReadAll(os.Stdin)
		if err != nil {
			return usagef("standard input: %v", err)
		}
		c.Prompt = string(b)
	}
	g := train.Generation{Prompt: c.Prompt, MaxTokens: c.MaxTokens, Temperature: c.Temperature, TopP: c.TopP, Seed: c.Seed, Stop: c.Stop}
	if !c.JSON {
		g.Stream = os.Stdout
	}
	out, err := train.Generate(c.Model, g, dev, os.Stderr)
	if err != nil {
		return err
	}
	if c.JSON {
		return printJSON(out)
	}
	fmt.Println()
	return nil
}
