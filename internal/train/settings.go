package train

import (
	"fmt"

	"concord/internal/config"
	"concord/internal/objective"
	"concord/internal/report"
)

// actingMethod is the method, or the first override's, whose weights depend on more
// than one language of a step; "" for none.
func actingMethod(cfg *config.Config) string {
	names := []config.Method{cfg.Objective.Method}
	for _, o := range cfg.Objective.Override {
		names = append(names, o.Method)
	}
	for _, n := range names {
		if objective.Compares(string(n)) {
			return string(n)
		}
	}
	return ""
}

// settings are those that differ from the defaults, for the reports.
func settings(cfg *config.Config) []report.Setting {
	usual := map[string]string{}
	for _, v := range config.Default().Values() {
		usual[v.Key] = fmt.Sprint(v.Value)
	}
	var out []report.Setting
	for _, v := range cfg.Values() {
		if text := fmt.Sprint(v.Value); text != usual[v.Key] {
			out = append(out, report.Setting{Key: v.Key, Value: text})
		}
	}
	return out
}
