package tokenizer

import "unicode/utf8"

// byteRunes maps each byte to the printable rune that stands for it in the
// vocabulary of a byte-level BPE (GPT-2's table): printable Latin-1 bytes stand
// for themselves, the other 68 are U+0100, U+0101, … in byte order.
// runeBytes is its inverse, −1 where a rune stands for no byte. Both are
// constants of the format.
var byteRunes, runeBytes = byteTables()

// lastByteRune is the largest rune of the table (256 + 68 − 1).
const lastByteRune = 0x143

func byteTables() (toRune [256]rune, toByte [lastByteRune + 1]int16) {
	for i := range toByte {
		toByte[i] = -1
	}
	next := rune(256)
	for b := range 256 {
		r := rune(b)
		if b < '!' || b > '~' && b < 0xA1 || b == 0xAD {
			r = next
			next++
		}
		toRune[b] = r
		toByte[r] = int16(b)
	}
	return toRune, toByte
}

// appendByteRunes appends the byte-level spelling of s: one rune per byte.
func appendByteRunes(dst []byte, s string) []byte {
	for i := range len(s) {
		dst = utf8.AppendRune(dst, byteRunes[s[i]])
	}
	return dst
}

// bytesOf undoes appendByteRunes. It reports false when s holds a rune that
// stands for no byte.
func bytesOf(s string) ([]byte, bool) {
	out := make([]byte, 0, len(s))
	for _, r := range s {
		if r > lastByteRune || runeBytes[r] < 0 {
			return nil, false
		}
		out = append(out, byte(runeBytes[r]))
	}
	return out, true
}

// alphabet lists the 256 bytes in the order of the runes that stand for them:
// the ids 0 … 255 of a vocabulary built by Train.
func alphabet() []byte {
	out := make([]byte, 0, 256)
	for _, b := range runeBytes {
		if b >= 0 {
			out = append(out, byte(b))
		}
	}
	return out
}
