package gpu

import (
	"errors"
	"testing"
)

// TestDryAccounts holds that a dry device accounts for memory as a driver that runs does,
// refuses what its budget does not hold, and reads zeros.
func TestDryAccounts(t *testing.T) {
	run := func(d *Device) Memory {
		t.Helper()
		a := d.NewBuffer(RoleWeights, "a", 1<<20)
		b := d.NewBuffer(RoleRows, "b", 3<<20)
		d.Write(View{Buf: a, Size: 4096}, make([]byte, 4096))
		d.Copy(View{Buf: b, Size: 1 << 20}, a.view())
		read := d.Read(a.view())
		got, err := read.Wait()
		if err != nil || len(got) != 1<<20 {
			t.Fatalf("%d bytes, %v", len(got), err)
		}
		if d.Dry() {
			for _, x := range got {
				if x != 0 {
					t.Fatal("a dry device has content")
				}
			}
		}
		b.Release()
		c := d.NewBuffer(RoleScratch, "c", 2<<20)
		if err := d.Sync(); err != nil {
			t.Fatal(err)
		}
		m := d.Memory()
		a.Release()
		c.Release()
		return m
	}
	dry, err := OpenDry(DryDevice{Name: "card", Type: Discrete, Budget: 64 << 20})
	if err != nil {
		t.Fatal(err)
	}
	defer dry.Close()
	fake, err := openWith(newFake(0), Options{MemoryBudget: 64 << 20})
	if err != nil {
		t.Fatal(err)
	}
	defer fake.Close()
	a, b := run(dry), run(fake)
	if a.Peak != b.Peak || a.Current != b.Current || a.Roles[RoleRows] != b.Roles[RoleRows] || a.Roles[RoleStaging] != b.Roles[RoleStaging] {
		t.Errorf("dry %+v\nreal %+v", a, b)
	}
	if dry.NewBuffer(RoleWeights, "too large", 65<<20); !errors.Is(dry.Err(), ErrOutOfMemory) {
		t.Errorf("more than the budget: %v", dry.Err())
	}
	if _, err := OpenDry(DryDevice{Type: "card"}); err == nil {
		t.Error("a type that does not exist is taken")
	}
}
