package data

import (
	"errors"
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
	values, seen := map[string]map[string]bool{}, 0
	err := records.Read(path, "", func(string, ...any) {}, func(r records.Record) error {
		if seen++; seen > languageSample || r.Fields == nil {
			return errEnough
		}
		for name := range r.Fields {
			v, err := stringOf(r.Fields, name)
			if values[name] == nil {
				values[name] = map[string]bool{}
			}
			values[name][v] = true
			if err != nil || v == "" {
				values[name] = map[string]bool{"": true}
			}
		}
		return nil
	})
	if err != nil && !errors.Is(err, errEnough) {
		return "", err
	}
	for _, usual := range languageColumns {
		for name, langs := range values {
			if strings.ToLower(name) == usual && len(langs) > 1 && !langs[""] {
				return name, nil
			}
		}
	}
	return "", nil
}
