package main

// language is one of the demonstration's languages.
type language struct {
	tag  string // BCP 47 primary subtag: the CLDR locale, the prompt's tag, the file name
	udhr string // code of the Declaration used in task B, "" = not in task B
	seen int    // tasks that train on it: bits taskA, taskB
}

const (
	taskA = 1 << iota // names8
	taskB             // udhr8
)

// languages of both tasks. A task trains on eight and measures eight more that
// it never trains on: four related to a seen one, four distant.
var languages = []language{
	{"es", "spa", taskA | taskB},
	{"de", "deu_1996", taskA | taskB},
	{"ru", "rus", taskA | taskB},
	{"hi", "hin", taskA | taskB},
	{"ar", "arb", taskA | taskB},
	{"sw", "swh", taskA | taskB},
	{"zh", "cmn_hans", taskA | taskB},
	{"tr", "", taskA},
	{"en", "eng", taskB}, // task A's prompts are English: it is no language of task A
	{"pt", "por_BR", 0},
	{"nl", "nld", 0},
	{"uk", "ukr", 0},
	{"mr", "mar", 0},
	{"fa", "pes_1", 0},
	{"zu", "zul", 0},
	{"ja", "jpn", 0},
	{"am", "amh", 0},
}

// inTask reports whether the task has files for the language.
func (l language) inTask(task int) bool {
	if task == taskA {
		return l.tag != "en"
	}
	return l.udhr != ""
}

// isDemo reports whether a locale or BCP 47 tag belongs to a language of the
// demonstration or is a variant of one (pt-PT, zh-Hant, fa-AF).
func isDemo(tag string) bool {
	for _, l := range languages {
		if l.tag == primary(tag) {
			return true
		}
	}
	return false
}

// primary is the part of a BCP 47 tag before the first hyphen.
func primary(tag string) string {
	for i := range len(tag) {
		if tag[i] == '-' {
			return tag[:i]
		}
	}
	return tag
}
