package main

import (
	"fmt"

	"concord/internal/train"
)

type versionCmd struct {
	JSON bool `help:"Print as JSON."`
}

func (c *versionCmd) Run() error {
	v := train.BuildVersion()
	if c.JSON {
		return printJSON(v)
	}
	fmt.Println(v.Line())
	return nil
}
