package storetest

import "testing"

func TestMemory(t *testing.T) { Conform(t, NewMemory()) }
