package main

import (
	"encoding/json"
	"reflect"
	"strings"
)

// Of each struct that is reached, each field: its type as Go writes it ([]Container, map[string]string, *int32), and
// before it "omitempty " where what is empty is not written.
func structs(root any) map[string]map[string]string {
	found := map[string]map[string]string{}
	visit(reflect.TypeOf(root), found)
	return found
}

func visit(typ reflect.Type, found map[string]map[string]string) {
	switch typ.Kind() {
	case reflect.Pointer, reflect.Slice, reflect.Map:
		visit(typ.Elem(), found)
	case reflect.Struct:
		if _, is := found[typ.Name()]; is || isOneValue(typ) {
			return
		}
		found[typ.Name()] = map[string]string{}
		fields(typ, found[typ.Name()], found)
	}
}

func fields(typ reflect.Type, own map[string]string, found map[string]map[string]string) {
	for i := range typ.NumField() {
		field := typ.Field(i)
		name, options, _ := strings.Cut(field.Tag.Get("json"), ",")
		switch name {
		case "-":
		case "":
			fields(field.Type, own, found)
		default:
			own[name] = written(field.Type)
			if strings.Contains(options, "omitempty") {
				own[name] = "omitempty " + own[name]
			}
			visit(field.Type, found)
		}
	}
}

func written(typ reflect.Type) string {
	switch typ.Kind() {
	case reflect.Pointer:
		return "*" + written(typ.Elem())
	case reflect.Slice:
		return "[]" + written(typ.Elem())
	case reflect.Map:
		return "map[]" + written(typ.Elem())
	case reflect.Struct:
		return typ.Name()
	}
	return typ.Kind().String()
}

// Such as quantities and times, which Go reads from one number or text.
func isOneValue(typ reflect.Type) bool {
	return reflect.PointerTo(typ).Implements(reflect.TypeFor[json.Unmarshaler]())
}
