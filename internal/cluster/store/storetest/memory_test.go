package storetest

import (
	"testing"

	"concord/internal/cluster/store"
)

func TestMemory(t *testing.T) { Conform(t, store.NewMemory()) }
