// Package storetest checks the promises of store.Store, of every implementation.
package storetest

import (
	"bytes"
	"context"
	"errors"
	"testing"
	"time"

	"concord/internal/cluster/store"
)

// Conform checks s, which must be empty; afterwards the key "step" holds "3".
func Conform(t *testing.T, s store.Store) {
	t.Helper()
	ctx := t.Context()
	if v, rev, err := s.Get(ctx, "step"); v != nil || rev != 0 || err != nil {
		t.Fatalf("nothing there: %q, %d, %v", v, rev, err)
	}
	one, err := s.Put(ctx, "step", []byte("1"), 0)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.Put(ctx, "step", []byte("x"), 0); !errors.Is(err, store.ErrConflict) {
		t.Errorf("created twice: %v", err)
	}
	two, err := s.Put(ctx, "step", []byte("2"), one)
	if err != nil || two == one {
		t.Fatal(two, err)
	}
	if _, err := s.Put(ctx, "step", []byte("x"), one); !errors.Is(err, store.ErrConflict) {
		t.Errorf("from an old revision: %v", err)
	}
	if v, rev, err := s.Get(ctx, "step"); string(v) != "2" || rev != two || err != nil {
		t.Errorf("%q, %d, %v", v, rev, err)
	}
	term, err := s.Put(ctx, "term", []byte("1"), 0)
	if err != nil {
		t.Fatal(err)
	}
	three, err := s.Put(ctx, "step", []byte("3"), two, store.Guard{Key: "term", Rev: term})
	if err != nil {
		t.Errorf("with a guard that holds: %v", err)
	}
	if _, err := s.Put(ctx, "term", []byte("2"), term); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Put(ctx, "step", []byte("x"), three, store.Guard{Key: "term", Rev: term}); !errors.Is(err, store.ErrConflict) {
		t.Errorf("a leader of an old term commits: %v", err)
	}
	s.Put(ctx, "member/1", []byte("a"), 0)
	s.Put(ctx, "member/2", []byte("b"), 0)
	if m, err := s.List(ctx, "member/"); len(m) != 2 || !bytes.Equal(m["member/2"], []byte("b")) || err != nil {
		t.Errorf("%v, %v", m, err)
	}
	if err := s.Delete(ctx, "member/1"); err != nil {
		t.Error(err)
	}
	if m, _ := s.List(ctx, "member/"); len(m) != 1 {
		t.Error(m)
	}
	leads(t, s)
}

// leads checks the election.
func leads(t *testing.T, s store.Store) {
	ctx := t.Context()
	if v, err := s.Leader(ctx); v != nil || err != nil {
		t.Errorf("nobody leads: %q, %v", v, err)
	}
	lost, resign, err := s.Lead(ctx, []byte("a"))
	if err != nil {
		t.Fatal(err)
	}
	if v, err := s.Leader(ctx); string(v) != "a" || err != nil {
		t.Errorf("%q, %v", v, err)
	}
	short, cancel := context.WithTimeout(ctx, 100*time.Millisecond)
	defer cancel()
	if _, _, err := s.Lead(short, []byte("b")); err == nil {
		t.Error("two lead")
	}
	resign()
	select {
	case <-lost:
	case <-time.After(5 * time.Second):
		t.Error("who resigned was not told")
	}
	_, resign, err = s.Lead(ctx, []byte("c"))
	if err != nil {
		t.Fatal(err)
	}
	if v, _ := s.Leader(ctx); string(v) != "c" {
		t.Errorf("leader %q", v)
	}
	resign()
}
