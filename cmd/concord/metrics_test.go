package main

import (
	"encoding/json"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"concord/internal/cluster/coordinator"
	"concord/internal/report"
	"concord/internal/rundir"
	"concord/internal/train"
)

// TestMetrics: the flag feeds the page from the run's records and, on machine 1, from its
// folder's status; without it nothing listens; an address in use ends the verb.
func TestMetrics(t *testing.T) {
	var said strings.Builder
	ui := train.UI{Warn: &said}
	stop, err := metering{Metrics: "127.0.0.1:0"}.serve(&ui)
	if err != nil {
		t.Fatal(err)
	}
	defer stop()
	url := regexp.MustCompile(`http://\S+`).FindString(said.String())
	page := func() string {
		r, err := http.Get(url)
		if err != nil {
			t.Fatal(err)
		}
		defer r.Body.Close()
		b, err := io.ReadAll(r.Body)
		if err != nil {
			t.Fatal(err)
		}
		return string(b)
	}
	ui.Record(report.Step{Step: 3, Steps: 5})
	if p := page(); !strings.Contains(p, "\nconcord_step 3\n") || strings.Contains(p, "concord_machines") {
		t.Errorf("one machine:\n%s", p)
	}
	dir := t.TempDir()
	b, err := json.Marshal(coordinator.Status{Step: 2, Members: make([]coordinator.MemberStatus, 3)})
	if err != nil {
		t.Fatal(err)
	}
	if err := os.MkdirAll(rundir.Cluster(dir), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(rundir.Cluster(dir), "status.json"), b, 0o600); err != nil {
		t.Fatal(err)
	}
	ui.Folder(dir)
	if p := page(); !strings.Contains(p, "\nconcord_machines 3\n") {
		t.Errorf("three machines:\n%s", p)
	}
	address, _, _ := strings.Cut(strings.TrimPrefix(url, "http://"), "/")
	if _, err := (metering{Metrics: address}).serve(&ui); err == nil || !strings.Contains(err.Error(), "--metrics") {
		t.Errorf("an address in use: %v", err)
	}
	quiet := train.UI{}
	if _, err := (metering{}).serve(&quiet); err != nil || quiet.Record != nil {
		t.Errorf("without the flag: %v", err)
	}
}
