package main

import (
	"bytes"
	"os"
	"testing"

	"concord/internal/config"
)

// The reference says what the fields say.
func TestReferenceIsUpToDate(t *testing.T) {
	meanings, err := Meanings("..")
	if err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string][]byte{"../meanings.go": GoSource(meanings), "../../../docs/config.md": Markdown(meanings)} {
		got, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(got, want) {
			t.Errorf("%s is behind the fields of package config: go generate ./internal/config", path)
		}
	}
	for _, k := range config.Keys() {
		if meanings[k.Name] == "" {
			t.Errorf("%s has no meaning", k.Name)
		}
	}
}
