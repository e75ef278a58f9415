package coordinator

import (
	"fmt"
	"strings"

	"concord/internal/cluster/protocol"
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
	a := protocol.Compare(w, p.Shares, p.Owners, c.sizesOf(p), p.Workers())
	c.traffic = a
	const mb = 1e6
	c.logf("%s: %d machines with %s rows, %v languages each; %.1f MB a step, %.1f MB from the busiest. Every language everywhere: %.1f "+
		"MB; plain data parallelism: %.1f MB",
		c.named(c.step+1), len(p.Shares), strings.Join(sizes,
			"+"), w.Languages(p.Shares), float64(a.Chosen.Total())/mb, float64(a.Chosen.Most())/mb, float64(a.Dealt.Total())/mb,
		float64(a.Plain.Total())/mb)
	if text := c.divided(p); text != "" {
		c.logf("%s", text)
	}
}

// divided says which resolve groups have several owners, "" where none has.
func (c *Coordinator) divided(p *protocol.Plan) string {
	n, least, most := 0, len(p.Members), 0
	for u := range p.Owners {
		from, to := c.opt.Leads.Range(u)
		owners := map[uint32]bool{}
		for _, w := range p.Owners[from:to] {
			owners[w] = true
		}
		if u == from && len(owners) > 1 {
			n, least, most = n+1, min(least, len(owners)), max(most, len(owners))
		}
	}
	if n == 0 {
		return ""
	}
	among := fmt.Sprint(most)
	if least < most {
		among = fmt.Sprintf("%d to %d", least, most)
	}
	return fmt.Sprintf("of %d resolve groups %d are divided among %s machines each", c.opt.Leads.Resolved(len(p.Owners)), n, among)
}

// sizesOf are the bytes of the groups on the wire under a plan.
func (c *Coordinator) sizesOf(p *protocol.Plan) protocol.Sizes {
	return protocol.SizesOf(c.opt.Groups, c.opt.Codec, c.opt.Parameters, p.Backups)
}
