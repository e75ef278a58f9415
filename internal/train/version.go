package train

import (
	"fmt"
	"runtime"
	"runtime/debug"
)

// Version is the program's own description.
type Version struct {
	Version string `json:"version"`
	Go      string `json:"go"`
	OS      string `json:"os"`
	Arch    string `json:"arch"`
}

// BuildVersion reads the version control revision that the Go tool recorded.
func BuildVersion() Version {
	v := Version{Version: "devel", Go: runtime.Version(), OS: runtime.GOOS, Arch: runtime.GOARCH}
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return v
	}
	for _, s := range info.Settings {
		switch {
		case s.Key == "vcs.revision" && len(s.Value) >= 12:
			v.Version = s.Value[:12]
		case s.Key == "vcs.modified" && s.Value == "true":
			v.Version += "-modified"
		}
	}
	return v
}

// Line is v for people.
func (v Version) Line() string {
	return fmt.Sprintf("concord %s (%s, %s/%s)", v.Version, v.Go, v.OS, v.Arch)
}
