package coordinator

import "concord/internal/cluster/protocol"

// paceSteps is how many measured steps a pace is fitted to.
const paceSteps = 16

// measured are the last steps of a worker.
type measured struct{ rows, seconds []float64 }

func (m *measured) add(rows int, seconds float64) {
	m.rows, m.seconds = append(m.rows, float64(rows)), append(m.seconds, seconds)
	if n := len(m.rows) - paceSteps; n > 0 {
		m.rows, m.seconds = m.rows[n:], m.seconds[n:]
	}
}

// pace fits Base + Row·rows by least squares; where the sizes do not differ, or
// the fit is nonsense, everything is put down to the rows.
func (m *measured) pace() protocol.Pace {
	n := float64(len(m.rows))
	if n == 0 {
		return protocol.Pace{}
	}
	var sr, st, srr, srt float64
	for i, r := range m.rows {
		sr, st, srr, srt = sr+r, st+m.seconds[i], srr+r*r, srt+r*m.seconds[i]
	}
	if d := n*srr - sr*sr; d > 0 {
		row := (n*srt - sr*st) / d
		if base := (st - row*sr) / n; row > 0 && base >= 0 {
			return protocol.Pace{Base: base, Row: row}
		}
	}
	return protocol.Pace{Row: st / sr}
}
