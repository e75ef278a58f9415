package config

import (
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"time"
)

// Size is a number of bytes, in a run file "512MB" or "6GB"; 0, in a run file "", is
// none given.
type Size int64

// sizePattern is a byte size: "512MB", "6 GiB", "4e9".
var sizePattern = regexp.MustCompile(`(?i)^\s*([0-9.]+(?:e[0-9]+)?)\s*(b|kb|mb|gb|kib|mib|gib)?\s*$`)

// ParseSize reads "512MB", "6GiB" (kB, MB, GB and KiB, MiB, GiB all count by
// 1024, as GPU tools do) or plain bytes.
func ParseSize(s string) (Size, error) {
	m := sizePattern.FindStringSubmatch(s)
	if m == nil {
		return 0, fmt.Errorf("%q is not a size such as \"512MB\" or \"6GB\"", s)
	}
	v, err := strconv.ParseFloat(m[1], 64)
	unit := map[string]float64{"": 1, "b": 1, "k": 1 << 10, "m": 1 << 20, "g": 1 << 30}
	u := strings.ToLower(m[2])
	if len(u) > 1 {
		u = u[:1]
	}
	v *= unit[u]
	if err != nil || v < 1 || v > 1<<50 || m[2] == "" && v < 1<<20 { // "6" is not six bytes
		return 0, fmt.Errorf("%q is not a size such as \"512MB\" or \"6GB\"", s)
	}
	return Size(v), nil
}

// UnmarshalText reads a size, or "" for none.
func (s *Size) UnmarshalText(text []byte) (err error) {
	*s = 0
	if len(text) > 0 {
		*s, err = ParseSize(string(text))
	}
	return err
}

// MarshalText writes the text that UnmarshalText reads.
func (s Size) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// String is the size in the largest unit that it is a whole number of.
func (s Size) String() string {
	switch {
	case s == 0:
		return ""
	case s%(1<<30) == 0:
		return fmt.Sprintf("%dGB", s>>30)
	case s%(1<<20) == 0:
		return fmt.Sprintf("%dMB", s>>20)
	case s%(1<<10) == 0:
		return fmt.Sprintf("%dKB", s>>10)
	}
	return fmt.Sprintf("%dB", int64(s))
}

// Seconds is a time in seconds.
type Seconds float64

// Duration is s for package time.
func (s Seconds) Duration() time.Duration { return time.Duration(float64(s) * float64(time.Second)) }

// Hours is a time in hours.
type Hours float64

// Duration is h for package time.
func (h Hours) Duration() time.Duration { return time.Duration(float64(h) * float64(time.Hour)) }

// Wire is how gradients travel.
type Wire string

// The forms in which gradients travel; "" is chosen by Cluster.Format.
const (
	WireBF16 Wire = "bf16"
	WireF32  Wire = "f32"
	WireInt8 Wire = "int8"
)
