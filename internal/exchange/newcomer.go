package exchange

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"concord/internal/fault"
	"concord/internal/safetensors"
	"concord/transport"
)

// offer puts the weights, moments and the methods' state before this step where a
// newcomer can fetch them.
func (d *Distributed) offer() error {
	s, err := json.Marshal(d.saved())
	if err != nil {
		return err
	}
	var b bytes.Buffer
	if err := safetensors.Encode(&b, append(d.Replica.Entries(d.offered, d.Store), d.self.Entries()...), nil); err != nil {
		return fault.Classify(err)
	}
	d.member.Offer(d.Exchanges(), map[string][]byte{StateFile: s, TensorsFile: b.Bytes()})
	return nil
}

// compare tells the hashes of the state that all machines hold alike, by group.
func (d *Distributed) compare() error {
	var groups []transport.Hash
	for u := range d.Store.Layout.Groups {
		var parts [][]byte
		if x := d.self.replicated(u); x != nil {
			parts = append(parts, transport.F32.Encode(x))
		}
		for _, s := range d.alike {
			x, err := d.Store.ReadGroup(s, u)
			if err != nil {
				return fault.Classify(err)
			}
			parts = append(parts, x)
		}
		groups = append(groups, transport.Sum(parts...))
	}
	d.member.Compare(d.Exchanges(), groups)
	return nil
}

func (d *Distributed) replicated(int) []float32 { return nil }

// CatchUp fetches the run's state from another machine, where there is one.
func (d *Distributed) CatchUp(ctx context.Context) error {
	if err := os.MkdirAll(d.fetched, 0o700); err != nil {
		return fault.Data(err)
	}
	got := false
	n, err := d.member.State(ctx, d.Exchanges(), []string{StateFile, TensorsFile}, func(part string) (io.WriteCloser, error) {
		got = true
		return os.Create(filepath.Join(d.fetched, part))
	})
	if err != nil {
		return err
	}
	if !got {
		return nil // there is nobody else: this machine's weights are the run's
	}
	var s Saved
	if err := ReadSaved(d.fetched, d.Settings.Identity, &s); err != nil {
		return err
	}
	if s.Step != d.StepAfter(n) {
		return fault.Data(fmt.Errorf("the weights of step %d were sent as those of step %d", s.Step, d.StepAfter(n)))
	}
	if err := Restore(d.Replica, d.self, d.fetched, s); err != nil {
		return err
	}
	if err := d.RestoreLocalState(); err != nil {
		return err
	}
	return os.RemoveAll(d.fetched)
}

// Saved tells the others that the state before the next step is in a checkpoint, so
// that they save the part that only they have of it.
func (d *Distributed) Saved() { d.member.Saved(d.Exchanges()) }
