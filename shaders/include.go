package shaders

import (
	"fmt"
	"io/fs"
	"regexp"
	"strings"
)

// includeLine matches a whole line; "//#include" alone is looked for too, so that
// a line of another form is an error and not a comment.
var (
	includeLine = regexp.MustCompile(`^ *//#include ([a-z0-9_]+?)(?:\{([A-Z0-9_]+)=([a-z0-9_]+)\})?(?: ([a-z0-9_]+|OPERAND))?$`)
	includeMark = "//#include"
)

// placeholder is the word of an include's text for the name that its line gives.
const placeholder = "OPERAND"

// expand returns the text of the kernel called name with its include lines
// replaced by the text of files in include/, to any depth, each text once:
//
//	//#include tile                  include/tile.wgsl
//	//#include load4_ b              include/load4_.wgsl, with b for the word OPERAND in it
//	//#include load4_{B=f32} b       the same of include/load4_f32.wgsl, or of
//	                                 include/load4_V.wgsl where choice("B") is V
func expand(fsys fs.FS, name string, choice func(key string) (string, bool)) (string, error) {
	b, err := fs.ReadFile(fsys, name+".wgsl")
	if err != nil {
		return "", fmt.Errorf("shaders: no kernel named %q", name)
	}
	x := expander{fsys: fsys, choice: choice, done: map[string]bool{}}
	if err := x.text(string(b)); err != nil {
		return "", fmt.Errorf("shaders: %s: %w", name, err)
	}
	return x.out.String(), nil
}

type expander struct {
	fsys   fs.FS
	choice func(key string) (string, bool) // nil: defaults
	done   map[string]bool                 // texts that are in out
	out    strings.Builder
}

// text appends src, includes resolved.
func (x *expander) text(src string) error {
	for line := range strings.Lines(src) {
		if !strings.Contains(line, includeMark) {
			x.out.WriteString(line)
			continue
		}
		m := includeLine.FindStringSubmatch(strings.TrimSuffix(line, "\n"))
		if m == nil {
			return fmt.Errorf("%q is not of the form '//#include NAME[{KEY=default}] [operand]'", strings.TrimSpace(line))
		}
		if err := x.include(m[1], m[2], m[3], m[4]); err != nil {
			return err
		}
	}
	return nil
}

// include appends one file of include/, unless it is there for this operand.
func (x *expander) include(name, key, value, operand string) error {
	if key != "" && x.choice != nil {
		if v, ok := x.choice(key); ok {
			value = v
		}
	}
	name += value
	if x.done[name+" "+operand] {
		return nil
	}
	x.done[name+" "+operand] = true
	b, err := fs.ReadFile(x.fsys, "include/"+name+".wgsl")
	if err != nil {
		return fmt.Errorf("no include named %q", name)
	}
	if strings.Contains(string(b), placeholder) != (operand != "") {
		return fmt.Errorf("include %s with operand %q: an operand is given if, and only if, the text has the word %s", name, operand, placeholder)
	}
	return x.text(strings.ReplaceAll(string(b), placeholder, operand))
}
