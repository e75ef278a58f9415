package main

import (
	"encoding/json"
	"fmt"
	"os"

	"concord/internal/config"
	"concord/internal/device"
	"concord/internal/infer"
	"concord/internal/train"
)

type scoreCmd struct {
	Model string `required:"" help:"Model folder or run folder." placeholder:"DIR"`
	IDs   string `name:"ids" required:"" help:"${score_ids}" placeholder:"FILE"`
	JSON  bool   `help:"Accepted for symmetry: the output is always JSON."`
	deviceFlags
}

// deviceFlags choose the adapter on verbs that take no run file.
type deviceFlags struct {
	Adapter string `help:"Adapter: an index or a part of its name (see concord doctor)."`
	Memory  string `help:"Memory budget, e.g. 6GB."`
}

// options are those of the adapter that the flags name; its warnings go to standard
// error.
func (d deviceFlags) options() (device.Options, error) {
	dev := config.Default().Device
	dev.Adapter = d.Adapter
	if err := dev.Memory.UnmarshalText([]byte(d.Memory)); err != nil {
		return device.Options{}, usagef("--memory: %v", err)
	}
	return train.DeviceOptions(dev, &once{out: os.Stderr}), nil
}

func (c *scoreCmd) Run() error {
	dev, err := c.options()
	if err != nil {
		return err
	}
	sequences, flat, err := readIDs(c.IDs)
	if err != nil {
		return err
	}
	nll, err := infer.Score(c.Model, sequences, dev)
	if err != nil {
		return err
	}
	if flat {
		return json.NewEncoder(os.Stdout).Encode(map[string]any{"nll": nll[0]})
	}
	return json.NewEncoder(os.Stdout).Encode(map[string]any{"nll": nll})
}

// readIDs reads [1,2,3] (flat) or [[1,2],[3,4]], either also as {"ids": …}.
func readIDs(path string) (sequences [][]uint32, flat bool, err error) {
	f := os.Stdin
	if path != "-" {
		if f, err = os.Open(path); err != nil {
			return nil, false, train.DataError(fmt.Errorf("--ids: %w\n  fix: a JSON file such as [1, 2, 3], or - for standard input", err))
		}
		defer f.Close()
	}
	var raw json.RawMessage
	if err := json.NewDecoder(f).Decode(&raw); err != nil {
		return nil, false, train.DataError(fmt.Errorf("%s: not JSON: %w", path, err))
	}
	var object struct {
		IDs json.RawMessage `json:"ids"`
	}
	if json.Unmarshal(raw, &object) == nil && object.IDs != nil {
		raw = object.IDs
	}
	var one []uint32
	if err := json.Unmarshal(raw, &one); err == nil {
		return [][]uint32{one}, true, nil
	}
	if err := json.Unmarshal(raw, &sequences); err != nil {
		return nil, false, train.DataError(fmt.Errorf("%s: want a list of token ids (whole numbers from 0) or a list of such lists: %w",
			path, err))
	}
	return sequences, false, nil
}
