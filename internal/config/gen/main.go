// Command gen writes the reference of all settings of a run file from the fields of
// package config: docs/config.md for people, internal/config/meanings.go for concord config explain.
// Run it by go generate ./internal/config; a test fails where they are behind.
package main

import (
	"fmt"
	"os"
)

func main() {
	meanings, err := Meanings(".")
	if err != nil {
		fail(err)
	}
	if err := os.WriteFile("meanings.go", GoSource(meanings), 0o644); err != nil {
		fail(err)
	}
	if err := os.WriteFile("../../docs/config.md", Markdown(meanings), 0o644); err != nil {
		fail(err)
	}
}

func fail(err error) {
	fmt.Fprintln(os.Stderr, "gen:", err)
	os.Exit(1)
}
