package cluster

import (
	"errors"
	"testing"
	"time"

	"concord/transport"
)

// A use that the coordinator counts while another process revokes a worker does not bring
// the join line back.
func TestRevokedLineStaysEnded(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	coordinator, err := OpenSecrets(dir)
	if err != nil {
		t.Fatal(err)
	}
	command, err := OpenSecrets(dir)
	if err != nil {
		t.Fatal(err)
	}
	id, _, _, err := coordinator.New(time.Hour, -1)
	if err != nil {
		t.Fatal(err)
	}
	if err := coordinator.Use(id, 2); err != nil {
		t.Fatal(err)
	}
	x, ok := coordinator.read(id) // the first half of a Use
	if ended, err := command.Revoke(2); err != nil || ended != 1 || !ok {
		t.Fatal(ended, err, ok)
	}
	x.Workers = append(x.Workers, 3)
	if err := coordinator.write(id, x); err != nil { // the second
		t.Fatal(err)
	}
	for name, s := range map[string]*Secrets{"the coordinator": coordinator, "another process": command} {
		if _, ok := s.Lookup(id); ok {
			t.Errorf("%s admits by a line that was ended", name)
		}
		if err := s.Use(id, 4); !errors.Is(err, transport.ErrProof) {
			t.Errorf("%s counts a use of it: %v", name, err)
		}
	}
	if ended, err := command.Revoke(3); err != nil || ended != 0 {
		t.Errorf("%d lines are ended twice: %v", ended, err)
	}
}
