package jinja

// node is a statement. exec reports whether a loop is to be left or continued.
type node interface{ exec(*state) control }

type control uint8

const (
	goOn control = iota
	breakLoop
	continueLoop
)

// expr is an expression.
type expr interface{ eval(*state) Value }

// The statements.
type (
	textNode   struct{ text string }
	outputNode struct {
		value expr
		line  int
	}
	ifNode struct {
		conds  []expr
		bodies [][]node // one more than conds if there is an else
	}
	forNode struct {
		targets    []string
		over, cond expr // cond may be nil
		body, none []node
		line       int
	}
	setNode struct {
		targets []target
		value   expr
		line    int
	}
	setBlockNode struct {
		to      target
		filters []filterCall
		body    []node
		line    int
	}
	macroNode struct {
		name string
		m    *macro
	}
	callNode struct { // {% call(params) f(args) %}
		call   *callExpr
		caller *macro
	}
	filterNode struct {
		filters []filterCall
		body    []node
	}
	withNode struct {
		names  []string
		values []expr
		body   []node
	}
	generationNode struct {
		body []node
		line int
	}
	controlNode struct{ c control }
)

// target is the left side of set: a name, or an attribute of a namespace.
type target struct{ name, attr string }

// macro is a macro's definition.
type macro struct {
	name     string
	params   []string
	defaults []expr // nil entries have none
	body     []node
	line     int
}

// The expressions.
type (
	literal  struct{ v Value }
	nameExpr struct {
		name string
		line int
	}
	listExpr struct {
		items []expr
		tuple bool
	}
	dictExpr struct {
		keys, values []expr
		line         int
	}
	attrExpr struct {
		of   expr
		name string
		line int
	}
	indexExpr struct {
		of, at expr
		line   int
	}
	sliceExpr struct {
		of, start, stop, step expr // nil if left out
		line                  int
	}
	callExpr struct {
		of   expr
		args args
		line int
	}
	filterExpr struct {
		of expr
		filterCall
	}
	filterCall struct {
		name string
		args args
		line int
	}
	testExpr struct {
		of     expr
		name   string
		args   []expr
		negate bool
		line   int
	}
	unaryExpr struct {
		op   string
		of   expr
		line int
	}
	binaryExpr struct {
		op          string
		left, right expr
		line        int
	}
	compareExpr struct {
		first expr
		ops   []string
		rest  []expr
		line  int
	}
	logicExpr struct {
		or          bool
		left, right expr
	}
	condExpr struct{ then, cond, otherwise expr } // otherwise may be nil
)

// args are the arguments of a call.
type args struct {
	pos   []expr
	names []string
	named []expr
}
