package main

import (
	"fmt"
	"sync/atomic"

	"concord/internal/cluster"
	"concord/internal/cluster/coordinator"
	"concord/internal/config"
	"concord/internal/metrics"
	"concord/internal/rundir"
	"concord/internal/train"
)

// metering is how a run shows its figures to a Prometheus server.
type metering struct {
	Metrics string `placeholder:"ADDR" help:"${metering_metrics}"`
}

// serve starts to answer, where that was asked for, and has ui feed the figures.
func (m metering) serve(ui *train.UI) (stop func(), err error) {
	if m.Metrics == "" {
		return func() {}, nil
	}
	var folder atomic.Pointer[string]
	ui.Folder = func(dir string) { folder.Store(&dir) }
	set := &metrics.Set{Version: train.BuildVersion().Version, Status: func() (coordinator.Status, bool) {
		dir := folder.Load()
		if dir == nil {
			return coordinator.Status{}, false
		}
		s, err := cluster.ReadStatus(rundir.Cluster(*dir))
		return s, err == nil
	}}
	at, stop, err := metrics.Serve(m.Metrics, set)
	if err != nil {
		return nil, &config.Error{Where: "--metrics", Msg: err.Error(),
			Fix: "an address of this machine with a free TCP port, such as --metrics 127.0.0.1:9464"}
	}
	ui.Record = set.Observe
	fmt.Fprintf(ui.Warn, "concord: figures for Prometheus at http://%s/metrics\n", at)
	return stop, nil
}
