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
	fmt.Printf("concord %s (%s, %s/%s)\n", v.Version, v.Go, v.OS, v.Arch)
	return nil
}
