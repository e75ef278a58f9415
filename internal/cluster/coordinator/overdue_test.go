package coordinator

import (
	"testing"
	"testing/synctest"
	"time"
)

// One that blocks a step in several ways is put out once, for as long as the first time takes.
func TestBarredOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := bare(1, 2, 3)
		m := c.members[2]
		m.conn = nil
		delete(c.members, 2) // put out just now
		c.bar(m, "again")
		if x := c.barred[2]; x.times != 0 || x.until.After(time.Now()) {
			t.Errorf("%+v", x)
		}
	})
}
