package fault

import "errors"

// Setting is a mistake in a setting of a run file, found where the setting is used: by
// packages that do not know the file. The package that read the file adds the place.
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

// UsageMistake marks the kind: see IsUsage.
func (e *Setting) UsageMistake() {}

// Usage is a mistake in a flag, a path or another thing that the user gave, outside a run
// file.
type Usage struct {
	Where string // "--top-p", or a path
	Msg   string
	Fix   string // the line that repairs it, or ""
}

func (e *Usage) Error() string { return (&Setting{e.Where, e.Msg, e.Fix}).Error() }

// UsageMistake marks the kind: see IsUsage.
func (e *Usage) UsageMistake() {}

// IsUsage says that err is a mistake of the user's: a *Usage, a *Setting, or an error of
// the package that reads run files.
func IsUsage(err error) bool {
	var mistake interface {
		error
		UsageMistake()
	}
	return errors.As(err, &mistake)
}
