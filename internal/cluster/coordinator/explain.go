package coordinator

import (
	"fmt"
	"strings"

	"concord/internal/cluster/protocol"
	"concord/transport"
)

// explain tells the user how much a step sends, whenever other machines take part.
func (c *Coordinator) explain(p *protocol.Plan) {
	if len(p.Shares) < 2 {
		return
	}
	c.explainRelay(p)
	who, sizes := "", []string{}
	for _, s := range p.Shares {
		who += fmt.Sprint(s.Worker, " ")
		sizes = append(sizes, fmt.Sprint(s.Size()))
	}
	if who == c.announced {
		return
	}
	c.announced = who
	w := c.work
	var members []uint32
	for _, m := range p.Members {
		members = append(members, m.Worker)
	}
	a := protocol.Compare(w, p.Shares, p.Owners, c.upBytes, c.downBytes, members)
	c.traffic = a
	const mb = 1e6
	c.logf("%s: %d machines with %s rows, %v languages each; %.1f MB a step, %.1f MB from the busiest. Every language everywhere: %.1f "+
		"MB; plain data parallelism: %.1f MB",
		c.named(c.step+1), len(p.Shares), strings.Join(sizes,
			"+"), w.Languages(p.Shares), float64(a.Chosen.Total())/mb, float64(a.Chosen.Most())/mb, float64(a.Dealt.Total())/mb,
		float64(a.Plain.Total())/mb)
}

// upBytes is a group's row on the wire.
func (c *Coordinator) upBytes(group int) int64 { return int64(c.opt.Codec.Size(c.opt.Groups[group])) }

// downBytes is the size of a group's result on the way to so many others.
func (c *Coordinator) downBytes(group, others int) int64 {
	if c.opt.Parameters && others > 0 { // and the gradient, to the backup
		return int64(transport.F32.Size(c.opt.Groups[group])*others) + c.upBytes(group)
	}
	return c.upBytes(group) * int64(others)
}
