package live

// Keys splits the bytes that a terminal sent into keys: a character, "left", "right",
// "ctrl-c". Other escape sequences and control characters are nothing.
func Keys(b []byte) []string {
	var out []string
	for i := 0; i < len(b); {
		switch c := b[i]; {
		case c == 3:
			out = append(out, "ctrl-c")
			i++
		case c == 27 && i+2 < len(b) && (b[i+1] == '[' || b[i+1] == 'O'):
			j := i + 2
			for j < len(b)-1 && (b[j] < 0x40 || b[j] > 0x7e) { // parameters
				j++
			}
			switch b[j] {
			case 'D':
				out = append(out, "left")
			case 'C':
				out = append(out, "right")
			}
			i = j + 1
		case c >= 32 && c < 127:
			out = append(out, string(rune(c)))
			i++
		default:
			i++
		}
	}
	return out
}
