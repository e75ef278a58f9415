package config

import (
	"fmt"
	"slices"
	"strings"
)

// locate maps each key path of a TOML text to its line, because the decoder
// does not report positions of keys. Elements of an array of tables are
// numbered: data.source.0.lang. Keys inside inline tables and multi-line
// values are not listed; their parent is.
func locate(text string) map[string]int {
	places := map[string]int{}
	counts := map[string]int{}
	table := ""
	for i, line := range strings.Split(text, "\n") {
		s := strings.TrimSpace(line)
		switch {
		case s == "" || s[0] == '#':
		case strings.HasPrefix(s, "[["):
			name, _, _ := strings.Cut(s[2:], "]]")
			name = cleanKey(name)
			table = fmt.Sprintf("%s.%d", name, counts[name])
			counts[name]++
			setOnce(places, name, i+1)
			setOnce(places, table, i+1)
		case s[0] == '[':
			name, _, _ := strings.Cut(s[1:], "]")
			table = cleanKey(name)
			setOnce(places, table, i+1)
		default:
			key, _, ok := strings.Cut(s, "=")
			if !ok || strings.ContainsAny(key, "{}[]") {
				continue // a continued value
			}
			key = cleanKey(key)
			if table != "" {
				key = table + "." + key
			}
			setOnce(places, key, i+1)
		}
	}
	return places
}

func setOnce(m map[string]int, k string, v int) {
	if _, ok := m[k]; !ok {
		m[k] = v
	}
}

// cleanKey removes the blanks and quotes that TOML allows around key parts.
func cleanKey(key string) string {
	parts := strings.Split(key, ".")
	for i, p := range parts {
		parts[i] = strings.Trim(strings.TrimSpace(p), `"'`)
	}
	return strings.Join(parts, ".")
}

// aliases are other trainers' names for our keys.
var aliases = map[string]string{
	"learning_rate": "optim.lr", "max_grad_norm": "optim.clip", "num_train_epochs": "schedule.epochs", "num_epochs": "schedule.epochs",
	"max_steps": "schedule.steps", "warmup_steps": "schedule.warmup", "warmup_ratio": "schedule.warmup", "lr_scheduler_type": "schedule.kind",
	"lr_scheduler": "schedule.kind", "per_device_train_batch_size": "batch.rows", "batch_size": "batch.rows", "micro_batch_size": "batch.rows",
	"max_seq_length": "batch.seq_len", "sequence_len": "batch.seq_len", "cutoff_len": "batch.seq_len", "output_dir": "run.dir",
	"base_model": "model.path", "model_name_or_path": "model.path", "save_steps": "checkpoint.every", "eval_steps": "eval.every",
	"logging_steps": "log.every", "save_total_limit": "checkpoint.keep", "val_set_size": "data.source.holdout",
}

// suggest proposes the known key nearest to key: same name in another section
// first, then the smallest edit distance.
func suggest[T any](key string, known map[string]T) string {
	section, name := "", key
	if i := strings.LastIndex(key, "."); i >= 0 {
		section, name = key[:i], key[i+1:]
	}
	if k, ok := aliases[strings.ToLower(name)]; ok {
		return fmt.Sprintf("here it is %s", describe(k))
	}
	var names []string
	for k := range known {
		names = append(names, k)
	}
	slices.Sort(names)
	if section == "objective" && !closeTo(name, names) {
		return fmt.Sprintf("a method's own option goes below: %s in [objective.options] (concord moo methods lists them); "+
			"languages' weights go in [objective.weights]", name)
	}
	for _, k := range names {
		if strings.EqualFold(k, key) {
			return fmt.Sprintf("keys are lower case: write %s", describe(k))
		}
	}
	for _, k := range names {
		if k[strings.LastIndex(k, ".")+1:] == strings.ToLower(name) {
			return fmt.Sprintf("did you mean %s?", describe(k))
		}
	}
	best, bestDist := "", 1+len(name)/3
	for _, k := range names {
		s, n := "", k
		if i := strings.LastIndex(k, "."); i >= 0 {
			s, n = k[:i], k[i+1:]
		}
		d := editDistance(n, name)
		if s != section {
			d++ // prefer the same section
		}
		if d <= bestDist {
			best, bestDist = k, d-1
		}
	}
	if best == "" {
		return "remove the key; `concord config show FILE` lists all of a run file that is right"
	}
	return fmt.Sprintf("did you mean %s?", describe(best))
}

// closeTo reports whether name may be a slip of a key of [objective], or is a
// key of another section.
func closeTo(name string, known []string) bool {
	return slices.ContainsFunc(known, func(k string) bool {
		last := k[strings.LastIndex(k, ".")+1:]
		return last == strings.ToLower(name) || strings.HasPrefix(k, "objective.") && editDistance(last, name) <= 1+len(name)/3
	})
}

// describe writes a key path as a reader of TOML thinks of it.
func describe(key string) string {
	i := strings.LastIndex(key, ".")
	if i < 0 {
		return fmt.Sprintf("%q at the top of the file", key)
	}
	if key[:i] == "data.source" {
		return fmt.Sprintf("%q in [[data.source]]", key[i+1:])
	}
	return fmt.Sprintf("%q in [%s]", key[i+1:], key[:i])
}

// editDistance is the Levenshtein distance with transpositions counted as one.
func editDistance(a, b string) int {
	d := make([][]int, len(a)+1)
	for i := range d {
		d[i] = make([]int, len(b)+1)
		d[i][0] = i
	}
	for j := range d[0] {
		d[0][j] = j
	}
	for i := 1; i <= len(a); i++ {
		for j := 1; j <= len(b); j++ {
			cost := 1
			if a[i-1] == b[j-1] {
				cost = 0
			}
			d[i][j] = min(d[i-1][j]+1, d[i][j-1]+1, d[i-1][j-1]+cost)
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				d[i][j] = min(d[i][j], d[i-2][j-2]+1)
			}
		}
	}
	return d[len(a)][len(b)]
}
