package main

import (
	"strings"
	"testing"

	"concord/internal/train/traintest"
)

// Budgets of nothing are refused, and are not the default's half hour.
func TestAuditUsage(t *testing.T) {
	runFile := traintest.Run(t, nil)
	for _, c := range []struct {
		args []string
		says string
	}{
		{[]string{"--budget", "0"}, "--budget 30m"},
		{[]string{"--budget=-5m"}, "--budget 30m"},
		{[]string{"--tokens", "0"}, "--tokens 1000000"},
		{[]string{"--tokens", "9", "--budget", "0"}, "not both"},
		{[]string{"--tokens", "9", "--steps=-1"}, "--steps -1"},
		{[]string{"--tokens", "9", "--seeds", "2"}, "--seeds 2"},
	} {
		code, _, errs := concord(t, "", append([]string{"audit", runFile, "--out", t.TempDir()}, c.args...)...)
		if code != exitUsage || !strings.Contains(errs, c.says) {
			t.Errorf("%v: exit code %d\n%s", c.args, code, errs)
		}
	}
}
