package config

import "reflect"

// IsSetting says that a key of Values is that of a setting, or of an entry of one that is
// a table of the user's.
func IsSetting(key string) bool {
	name := stripIndex(key)
	_, known := knownKeys()[name]
	return known || freeKey(name)
}

// Usual is the value of a setting that a run file does not name, by a key of Values; false
// for a key that no setting has, an entry of a table of the user's among them.
func Usual(key string) (value any, known bool) {
	name := stripIndex(key)
	if name == "data.source.train" {
		return true, true
	}
	eachField(reflect.ValueOf(*Default()), "", func(k string, _ reflect.StructField, v reflect.Value) {
		switch {
		case k != name:
		case v.Kind() == reflect.Map:
			value, known = map[string]any{}, true
		default:
			value, known = v.Interface(), true
		}
	})
	return value, known
}
