package protocol

// Path is how two machines reach each other.
type Path string

// The paths.
const (
	PathDirect  Path = "direct"  // one dials the other
	PathPunched Path = "punched" // likewise, while the other, behind a NAT, sends to it
	PathRelayed Path = "relayed" // through the coordinator's machine, encrypted between the two
)

// Paths are those of a worker to others, as it sees them.
type Paths struct {
	By map[uint32]Path `json:"by"`
}

// rank orders paths by their cost; 0 is none.
var rank = map[Path]int{PathDirect: 1, PathPunched: 2, PathRelayed: 3}

// Valid says that it is one of the paths.
func (p Path) Valid() bool { return rank[p] > 0 }

// OverRelay says that every byte of it goes through the coordinator's machine.
func (p Path) OverRelay() bool { return p == PathRelayed }

// Worse is the path of a pair whose two ends say a and b: only the end that dials knows
// that it has punched.
func Worse(a, b Path) Path {
	if rank[b] > rank[a] {
		return b
	}
	return a
}
