package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"concord/internal/cluster"
	"concord/internal/htmlreport"
	"concord/internal/report"
	"concord/internal/rundir"
	"concord/internal/safetensors"
	"concord/internal/train"
)

type reportCmd struct {
	Folder string `arg:"" name:"run" help:"The run's folder (runs/NAME)."`
	Out    string `help:"The page's file; default: report.html in the run's folder." placeholder:"FILE"`
	CSV    string `name:"csv" help:"Also write the figures as CSV files to this folder." placeholder:"DIR"`
	PNG    string `name:"png" help:"Also write the figures as pictures to this folder." placeholder:"DIR"`
	TB     string `name:"tensorboard" help:"Also write the curves as a TensorBoard event file to this folder." placeholder:"DIR"`
	Wandb  string `name:"wandb" help:"${report_wandb}" placeholder:"DIR"`
	JSON   bool   `help:"Print what was written as JSON."`
}

// written is the output of the verb.
type written struct {
	Page     string   `json:"page"`
	Bytes    int      `json:"bytes"`
	CSV      []string `json:"csv"`
	PNG      []string `json:"png"`
	TB       string   `json:"tensorboard,omitempty"`
	Wandb    string   `json:"wandb,omitempty"`
	Warnings []string `json:"warnings"`
}

// pairsOf is how the machines of a run reach each other, by its last status.
func pairsOf(dir string) (out []htmlreport.Pair) {
	s, err := cluster.ReadStatus(rundir.Cluster(dir))
	if err != nil {
		return nil
	}
	names := map[uint32]string{}
	for _, m := range s.Members {
		names[m.Worker] = m.Name
	}
	for _, p := range s.Pairs {
		a, b := p.Workers[0], p.Workers[1]
		out = append(out, htmlreport.Pair{Machines: fmt.Sprintf("%d %s – %d %s", a, names[a], b, names[b]), Path: string(p.Path),
			Relayed: p.Relayed})
	}
	return out
}

func (c *reportCmd) Run() error {
	if _, err := os.Stat(rundir.Metrics(c.Folder)); err != nil && !rundir.IsRun(c.Folder) {
		return rundir.NotARun(c.Folder)
	}
	run, err := htmlreport.Load(c.Folder)
	if err != nil {
		return train.DataError(err)
	}
	f := htmlreport.Derive(run)
	if f.Machines != nil {
		f.Machines.Pairs = pairsOf(c.Folder)
	}
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
	var csv, png, tb, wb error
	if c.CSV != "" {
		w.CSV, csv = f.WriteCSV(c.CSV)
	}
	if c.PNG != "" {
		w.PNG, png = f.WritePNG(c.PNG)
	}
	if c.TB != "" {
		w.TB, tb = run.WriteTensorBoard(c.TB, began(c.Folder))
	}
	if c.Wandb != "" {
		w.Wandb, wb = run.WriteWandb(c.Wandb, began(c.Folder))
	}
	if err := errors.Join(csv, png, tb, wb); err != nil {
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
	if w.Wandb != "" {
		fmt.Printf(" curves in %s; to upload them: wandb sync %s\n", w.Wandb, report.Quote(w.Wandb))
	}
	return nil
}

// began is when the run in the folder began: its lock is written then, and not again.
func began(folder string) time.Time {
	if st, err := os.Stat(filepath.Join(folder, rundir.LockFile)); err == nil {
		return st.ModTime()
	}
	return time.Now()
}
