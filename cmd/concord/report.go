package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"concord/internal/htmlreport"
	"concord/internal/report"
	"concord/internal/safetensors"
	"concord/internal/train"
)

type reportCmd struct {
	Folder string `arg:"" name:"run" help:"The run's folder (runs/NAME)."`
	Out    string `help:"The page's file; default: report.html in the run's folder." placeholder:"FILE"`
	CSV    string `name:"csv" help:"Also write the figures as CSV files to this folder." placeholder:"DIR"`
	PNG    string `name:"png" help:"Also write the figures as pictures to this folder." placeholder:"DIR"`
	TB     string `name:"tensorboard" help:"Also write the curves as a TensorBoard event file to this folder." placeholder:"DIR"`
	JSON   bool   `help:"Print what was written as JSON."`
}

// written is the output of the verb.
type written struct {
	Page     string   `json:"page"`
	Bytes    int      `json:"bytes"`
	CSV      []string `json:"csv"`
	PNG      []string `json:"png"`
	TB       string   `json:"tensorboard,omitempty"`
	Warnings []string `json:"warnings"`
}

func (c *reportCmd) Run() error {
	run, err := htmlreport.Load(c.Folder)
	if err != nil {
		return train.DataError(err)
	}
	f := htmlreport.Derive(run)
	page, err := f.HTML()
	if err != nil {
		return err
	}
	w := written{Page: c.Out, Bytes: len(page), CSV: []string{}, PNG: []string{}, Warnings: append([]string{}, run.Warnings...)}
	if w.Page == "" {
		w.Page = filepath.Join(c.Folder, "report.html")
	}
	if err := safetensors.WriteFile(w.Page, page); err != nil {
		return train.DataError(fmt.Errorf("cannot write the page: %w\n  fix: --out with a place that can be written to", err))
	}
	var csv, png, tb error
	if c.CSV != "" {
		w.CSV, csv = f.WriteCSV(c.CSV)
	}
	if c.PNG != "" {
		w.PNG, png = f.WritePNG(c.PNG)
	}
	if c.TB != "" {
		began := time.Now()
		if st, err := os.Stat(filepath.Join(c.Folder, "run.lock.json")); err == nil {
			began = st.ModTime()
		}
		w.TB, tb = run.WriteTensorBoard(c.TB, began)
	}
	if err := errors.Join(csv, png, tb); err != nil {
		return train.DataError(fmt.Errorf("cannot write the figures: %w", err))
	}
	if c.JSON {
		return printJSON(w)
	}
	for _, warning := range w.Warnings {
		fmt.Println("concord:", warning)
	}
	fmt.Printf(" report in %s (%d KiB; one file, needs no network)\n", w.Page, (w.Bytes+1023)/1024)
	for _, list := range [][]string{w.CSV, w.PNG} {
		if len(list) > 0 {
			fmt.Printf(" %d files in %s\n", len(list), filepath.Dir(list[0]))
		}
	}
	if w.TB != "" {
		fmt.Printf(" curves in %s: tensorboard --logdir %s\n", w.TB, report.Quote(c.TB))
	}
	return nil
}
