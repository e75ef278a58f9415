package fault

// Setting is a mistake in a setting of a run file, found where the setting is used: by
// packages that do not know the file. Whoever read the file adds the place.
type Setting struct {
	Key string // with dots: "objective.override.0.match"
	Msg string
	Fix string // the line that repairs it, or ""
}

func (e *Setting) Error() string {
	s := e.Key + ": " + e.Msg
	if e.Fix != "" {
		s += "\n  fix: " + e.Fix
	}
	return s
}
