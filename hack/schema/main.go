// Command schema writes the schema facts of src/machinery from upstream's Go types: one file per package of API types,
// and one that lists the kinds. Give it the folder to write to. Descriptions are upstream's text and are left out.
//
// A file has a line per type (its OpenAPI name, then ` atomic` if server-side apply replaces it as a whole), and below
// it a line per field, embedded structs flattened in the order of encoding/json; each word has a tab before it:
//
//	name	number	type	flags…
//
// number is the protobuf field number, 0 for none; `VolumeSource:2.1` is field 1 of the embedded struct VolumeSource,
// whose own number is 2. The wire type follows from the type; what the struct tags say of it is not always true.
// type is string, bool, int32, int64, float, bytes, quantity, intorstring, time, microtime, any, the name of a
// type, [element] or {value}; `*` marks a pointer, `=name` a Go type whose name does not follow from the rest.
// flags are omitempty, omitzero, required, atomic, list=(atomic|set|map:keys), patch=strategies, key=patch merge key,
// enum=values and, last, default=JSON.
package main

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"sort"
	"strings"

	admissionv1 "k8s.io/api/admission/v1"
	admissionv1beta1 "k8s.io/api/admission/v1beta1"
	discoveryv2 "k8s.io/api/apidiscovery/v2"
	discoveryv2beta1 "k8s.io/api/apidiscovery/v2beta1"
	imagepolicyv1alpha1 "k8s.io/api/imagepolicy/v1alpha1"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/intstr"
	"k8s.io/client-go/kubernetes/scheme"
	apiregistrationv1 "k8s.io/kube-aggregator/pkg/apis/apiregistration/v1"
	"k8s.io/kube-openapi/pkg/common"
	"k8s.io/kube-openapi/pkg/validation/spec"
	"k8s.io/kubernetes/pkg/generated/openapi"
)

// Types with an encoding of their own.
var leaves = map[reflect.Type]string{
	reflect.TypeFor[resource.Quantity]():                            "quantity",
	reflect.TypeFor[intstr.IntOrString]():                           "intorstring",
	reflect.TypeFor[metav1.Time]():                                  "time",
	reflect.TypeFor[metav1.MicroTime]():                             "microtime",
	reflect.TypeFor[metav1.FieldsV1]():                              "any",
	reflect.TypeFor[runtime.RawExtension]():                         "any",
	reflect.TypeFor[apiextensionsv1.JSON]():                         "any",
	reflect.TypeFor[apiextensionsv1.JSONSchemaPropsOrArray]():       "any",
	reflect.TypeFor[apiextensionsv1.JSONSchemaPropsOrBool]():        "any",
	reflect.TypeFor[apiextensionsv1.JSONSchemaPropsOrStringArray](): "any",
}

type generator struct {
	definitions map[string]common.OpenAPIDefinition
	types       map[string][]string // OpenAPI name to lines
}

func main() {
	known := scheme.Scheme
	for _, add := range []func(*runtime.Scheme) error{
		metav1.AddMetaToScheme, admissionv1.AddToScheme, apiextensionsv1.AddToScheme, apiregistrationv1.AddToScheme,
		imagepolicyv1alpha1.AddToScheme, discoveryv2.AddToScheme, discoveryv2beta1.AddToScheme, admissionv1beta1.AddToScheme,
	} {
		must(add(known))
	}
	g := generator{
		definitions: openapi.GetOpenAPIDefinitions(func(path string) spec.Ref { return spec.MustCreateRef(path) }),
		types:       map[string][]string{},
	}
	kinds := map[schema.GroupVersion]map[string]string{}
	for gvk, t := range known.AllKnownTypes() {
		if gvk.Version == runtime.APIVersionInternal {
			continue
		}
		if kinds[gvk.GroupVersion()] == nil {
			kinds[gvk.GroupVersion()] = map[string]string{}
		}
		kinds[gvk.GroupVersion()][gvk.Kind] = name(t)
		g.add(t)
	}
	g.write(os.Args[1], kinds)
}

// name is the OpenAPI name of a type, made from its package where it has none.
func name(t reflect.Type) string {
	if named, ok := reflect.Zero(t).Interface().(interface{ OpenAPIModelName() string }); ok {
		return named.OpenAPIModelName()
	}
	path := strings.Split(t.PkgPath(), "/")
	domain := strings.Split(path[0], ".")
	slices.Reverse(domain)
	return strings.Join(append(append(domain, path[1:]...), t.Name()), ".")
}

// add writes down a struct and what it refers to.
func (g *generator) add(t reflect.Type) {
	if _, done := g.types[name(t)]; done {
		return
	}
	_, marshals := reflect.PointerTo(t).MethodByName("MarshalJSON")
	_, unmarshals := reflect.PointerTo(t).MethodByName("UnmarshalJSON")
	if marshals || unmarshals {
		panic(fmt.Sprintf("%s has an encoding of its own", t))
	}
	head := name(t)
	if g.definitions[head].Schema.Extensions["x-kubernetes-map-type"] == "atomic" {
		head += " atomic"
	}
	g.types[name(t)] = nil // ends recursion
	g.types[name(t)] = append([]string{head}, g.fields(t, g.definitions[name(t)].Schema, "")...)
}

// fields gives a line per field. within names the embedded structs around them, each with a dot.
func (g *generator) fields(t reflect.Type, schema spec.Schema, within string) []string {
	var lines []string
	for i := range t.NumField() {
		field := t.Field(i)
		json := strings.Split(field.Tag.Get("json"), ",")
		proto := strings.Split(field.Tag.Get("protobuf"), ",")
		number := "0"
		if len(proto) > 1 {
			number = proto[1]
		}
		switch {
		case json[0] == "-":
		case field.Anonymous && json[0] == "":
			embedded := within + field.Name + ":" + number + "."
			lines = append(lines, g.fields(deref(field.Type), schema, embedded)...)
		case json[0] == "":
			panic(fmt.Sprintf("%s.%s has no JSON name", t, field.Name))
		default:
			shape := g.shape(field.Type)
			words := []string{"", json[0], within + number, shape}
			words = append(words, json[1:]...)
			words = append(words, flags(field, schema, json[0])...)
			lines = append(lines, strings.Join(words, "\t"))
		}
	}
	return lines
}

func deref(t reflect.Type) reflect.Type {
	if t.Kind() == reflect.Pointer {
		return t.Elem()
	}
	return t
}

// shape writes a Go type in the notation of the facts.
func (g *generator) shape(t reflect.Type) string {
	if t.Kind() == reflect.Pointer {
		return "*" + g.shape(t.Elem())
	}
	if leaf, ok := leaves[t]; ok {
		return leaf + unless(leaf != "any", t.String())
	}
	switch t.Kind() {
	case reflect.String:
		return "string" + unless(t.String() == "string", t.String())
	case reflect.Bool:
		return "bool"
	case reflect.Int32:
		return "int32"
	case reflect.Int64, reflect.Int:
		return "int64"
	case reflect.Float64:
		return "float"
	case reflect.Slice:
		if t.Elem().Kind() == reflect.Uint8 {
			return "bytes"
		}
		return "[" + g.shape(t.Elem()) + "]" + unless(t.String() == "[]"+t.Elem().String(), t.String())
	case reflect.Map:
		return "{" + g.shape(t.Elem()) + "}" + unless(t.String() == "map[string]"+t.Elem().String(), t.String())
	case reflect.Interface:
		return "any=interface {}"
	case reflect.Struct:
		g.add(t)
		return name(t)
	}
	panic(fmt.Sprintf("no notation for %s", t))
}

func unless(derivable bool, goName string) string {
	if derivable {
		return ""
	}
	return "=" + goName
}

// flags are what OpenAPI and the struct tags for strategic merge say of a field.
func flags(field reflect.StructField, schema spec.Schema, json string) []string {
	var words []string
	property := schema.Properties[json]
	if slices.Contains(schema.Required, json) {
		words = append(words, "required")
	}
	if property.Extensions["x-kubernetes-map-type"] == "atomic" {
		words = append(words, "atomic")
	}
	if list, ok := property.Extensions["x-kubernetes-list-type"].(string); ok {
		if keys, ok := property.Extensions["x-kubernetes-list-map-keys"].([]interface{}); ok {
			list += ":" + join(keys)
		}
		words = append(words, "list="+list)
	}
	if strategy := field.Tag.Get("patchStrategy"); strategy != "" {
		words = append(words, "patch="+strategy)
	}
	if key := field.Tag.Get("patchMergeKey"); key != "" {
		words = append(words, "key="+key)
	}
	enum := property.Enum
	if property.Items != nil {
		enum = property.Items.Schema.Enum
	}
	if len(enum) > 0 {
		words = append(words, "enum="+join(enum))
	}
	if property.Default != nil {
		words = append(words, "default="+encode(property.Default))
	}
	return words
}

func join(values []interface{}) string {
	words := make([]string, len(values))
	for i, value := range values {
		words[i] = value.(string)
		if strings.ContainsAny(words[i], ",\t\n") {
			panic(fmt.Sprintf("%q cannot be listed", words[i]))
		}
	}
	return strings.Join(words, ",")
}

func encode(value interface{}) string {
	text, err := json.Marshal(value)
	must(err)
	return string(text)
}

// write makes the files. A type's file is named by its package: core for io.k8s.api.core.v1.Pod.
func (g *generator) write(folder string, kinds map[schema.GroupVersion]map[string]string) {
	files := map[string][]string{"kinds": kindLines(kinds)}
	for _, name := range sortedKeys(g.types) {
		parts := strings.Split(name, ".")
		file := parts[len(parts)-3]
		files[file] = append(files[file], g.types[name]...)
	}
	for file, lines := range files {
		must(os.WriteFile(filepath.Join(folder, file+".txt"), []byte(strings.Join(lines, "\n")+"\n"), 0o644))
	}
}

// kindLines gives a line per group and version, `group/version package kinds…`, where a kind of another package is
// written `Kind=type`. Kinds that v1 has with the same type (the options of requests) are left out elsewhere.
func kindLines(kinds map[schema.GroupVersion]map[string]string) []string {
	var lines []string
	for gv, of := range kinds {
		own := map[string]string{}
		for kind, name := range of {
			if gv == metav1.Unversioned || kinds[metav1.Unversioned][kind] != name {
				own[kind] = name
			}
		}
		if len(own) > 0 {
			lines = append(lines, kindLine(gv.String(), own))
		}
	}
	sort.Strings(lines)
	return lines
}

func kindLine(gv string, kinds map[string]string) string {
	packages := map[string]int{}
	for kind, name := range kinds {
		packages[strings.TrimSuffix(name, "."+kind)]++
	}
	home := slices.MaxFunc(sortedKeys(packages), func(a, b string) int { return packages[a] - packages[b] })
	words := []string{gv, home}
	for _, kind := range sortedKeys(kinds) {
		words = append(words, kind+unless(kinds[kind] == home+"."+kind, kinds[kind]))
	}
	return strings.Join(words, " ")
}

func sortedKeys[V any](m map[string]V) []string {
	keys := make([]string, 0, len(m))
	for key := range m {
		keys = append(keys, key)
	}
	sort.Strings(keys)
	return keys
}

func must(err error) {
	if err != nil {
		panic(err)
	}
}
