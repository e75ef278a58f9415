package data

import (
	"errors"
	"maps"
	"slices"
	"strings"

	"concord/internal/records"
)

// languageColumns are usual names of the column that says each document's language, in lower case.
var languageColumns = []string{"language", "lang", "language_code", "lang_code", "locale", "iso_639_1", "iso_639_3"}

// languageSample is how many documents LanguageColumn looks at.
const languageSample = 2000

// LanguageColumn is the column of the file at path that names each document's language, "" where
// there is none: by its name, and because the first documents all have a text there and
// not all the same. Errors of the file are *Error.
func LanguageColumn(path string) (string, error) {
	langs, seen := map[string]map[string]bool{}, 0 // by column, of the usual names
	err := records.Read(path, "", func(string, ...any) {}, func(r records.Record) error {
		if seen == languageSample || r.Fields == nil {
			return errEnough
		}
		for name := range r.Fields {
			if seen == 0 && slices.Contains(languageColumns, strings.ToLower(name)) {
				langs[name] = map[string]bool{}
			}
		}
		seen++
		for name := range langs {
			v, err := stringOf(r.Fields, name)
			if err != nil || v == "" {
				delete(langs, name)
				continue
			}
			langs[name][v] = true
		}
		return nil
	})
	if err != nil && !errors.Is(err, errEnough) {
		return "", err
	}
	for _, usual := range languageColumns {
		for _, name := range slices.Sorted(maps.Keys(langs)) {
			if strings.ToLower(name) == usual && len(langs[name]) > 1 {
				return name, nil
			}
		}
	}
	return "", nil
}
