// Command oracle answers, for the tests of src/machinery, what upstream's own code makes of some input. It reads
// questions from standard input, one JSON object a line, and writes one answer a line.
package main

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"os"

	"k8s.io/apimachinery/pkg/api/resource"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/runtime/serializer/protobuf"
	"k8s.io/apimachinery/pkg/util/strategicpatch"
	"k8s.io/client-go/kubernetes/scheme"
	kjson "sigs.k8s.io/json"
)

type question struct {
	Ask        string
	APIVersion string // of the object, for encode, patch and protobuf
	Kind       string
	Text       string // an object, or a quantity or selector
	Patch      string
}

type answer struct {
	Text   string   `json:"text"`
	Error  string   `json:"error"`
	Strict []string `json:"strict"`
}

func main() {
	in, out := json.NewDecoder(os.Stdin), json.NewEncoder(os.Stdout)
	for in.More() {
		var q question
		if err := in.Decode(&q); err != nil {
			panic(err)
		}
		a := answer{Strict: []string{}}
		if err := a.to(q); err != nil {
			a = answer{Error: err.Error(), Strict: []string{}}
		}
		if err := out.Encode(a); err != nil {
			panic(err)
		}
	}
}

// to answers one question. Upstream panics on some bad patches; its server answers those with an error too.
func (a *answer) to(q question) (err error) {
	defer func() {
		if panicked := recover(); panicked != nil {
			err = fmt.Errorf("panic: %v", panicked)
		}
	}()
	switch q.Ask {
	case "encode":
		return a.encode(q)
	case "patch":
		return a.patch(q)
	case "protobuf":
		return a.protobuf(q)
	case "quantity":
		quantity, err := resource.ParseQuantity(q.Text)
		a.Text = fmt.Sprintf("%s %d", quantity.String(), quantity.Value())
		return err
	case "labels":
		selector, err := labels.Parse(q.Text)
		if err == nil {
			a.Text = selector.String()
		}
		return err
	case "fields":
		selector, err := fields.ParseSelector(q.Text)
		if err == nil {
			a.Text = selector.String()
		}
		return err
	}
	return fmt.Errorf("no such question: %s", q.Ask)
}

// encode decodes strictly into the Go type and encodes that.
func (a *answer) encode(q question) error {
	object, err := made(q)
	if err != nil {
		return err
	}
	strict, err := kjson.UnmarshalStrict([]byte(q.Text), object)
	if err != nil {
		return err
	}
	for _, complaint := range strict {
		a.Strict = append(a.Strict, complaint.Error())
	}
	text, err := json.Marshal(object)
	a.Text = string(text)
	return err
}

// protobuf encodes an object in its envelope; the answer is base64.
func (a *answer) protobuf(q question) error {
	object, err := made(q)
	if err != nil {
		return err
	}
	if err := kjson.UnmarshalCaseSensitivePreserveInts([]byte(q.Text), object); err != nil {
		return err
	}
	object.GetObjectKind().SetGroupVersionKind(schema.FromAPIVersionAndKind(q.APIVersion, q.Kind))
	bytes, err := runtime.Encode(protobuf.NewSerializer(scheme.Scheme, scheme.Scheme), object)
	a.Text = base64.StdEncoding.EncodeToString(bytes)
	return err
}

// patch applies a strategic merge patch.
func (a *answer) patch(q question) error {
	object, err := made(q)
	if err != nil {
		return err
	}
	text, err := strategicpatch.StrategicMergePatch([]byte(q.Text), []byte(q.Patch), object)
	a.Text = string(text)
	return err
}

func made(q question) (runtime.Object, error) {
	return scheme.Scheme.New(schema.FromAPIVersionAndKind(q.APIVersion, q.Kind))
}
