// Command policy answers, for the tests of src/api, what upstream's API server makes of an object: its defaults, what the
// registry's strategy prepares, every validation error as a client sees it, warnings, and the row of the table. It also
// makes objects with upstream's fuzzers. It reads questions from standard input, one JSON object a line, and writes one
// answer a line.
package main

import (
	"bufio"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"os"
	"runtime/debug"

	"k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/klog/v2"
	"k8s.io/kubernetes/pkg/capabilities"
)

// question asks about one object. Ask is create, update, status or approval (updates of the subresource), label (may a
// request select by the field Object names?) or fuzz.
type question struct {
	Ask        string          `json:"ask"`
	APIVersion string          `json:"apiVersion"`
	Kind       string          `json:"kind"`
	Object     json.RawMessage `json:"object"`
	Old        json.RawMessage `json:"old"`
	Seed       int64           `json:"seed"`
}

// answer is what upstream says. Unordered: the order of the causes or warnings is chance (upstream walks a map). Fields are
// what selectors may ask of the object, Protobuf is its message without an envelope.
type answer struct {
	Undecodable string                         `json:"undecodable,omitempty"`
	Object      json.RawMessage                `json:"object,omitempty"`
	Status      *metav1.Status                 `json:"status,omitempty"`
	Unordered   bool                           `json:"unordered,omitempty"`
	Warnings    []string                       `json:"warnings,omitempty"`
	Columns     []metav1.TableColumnDefinition `json:"columns,omitempty"`
	Cells       []any                          `json:"cells,omitempty"`
	Fields      map[string]string              `json:"fields,omitempty"`
	Protobuf    []byte                         `json:"protobuf,omitempty"`
	Panic       string                         `json:"panic,omitempty"`
}

func main() {
	quiet()
	// As every cluster that runs a proxy or a network plugin has it.
	capabilities.Setup(true, 0)
	in, out := json.NewDecoder(bufio.NewReader(os.Stdin)), bufio.NewWriter(os.Stdout)
	lines := json.NewEncoder(out)
	for in.More() {
		var q question
		if err := in.Decode(&q); err != nil {
			panic(err)
		}
		if err := lines.Encode(ask(q)); err != nil {
			panic(err)
		}
	}
	if err := out.Flush(); err != nil {
		panic(err)
	}
}

// quiet drops upstream's log, which its own checks of itself fill.
func quiet() {
	flags := flag.NewFlagSet("klog", flag.PanicOnError)
	klog.InitFlags(flags)
	for _, option := range []string{"-logtostderr=false", "-stderrthreshold=FATAL"} {
		if err := flags.Parse([]string{option}); err != nil {
			panic(err)
		}
	}
	klog.SetOutput(io.Discard)
}

// ask answers one question. Upstream's server answers a panic with status 500; here it is told apart.
func ask(q question) (a answer) {
	defer func() {
		if panicked := recover(); panicked != nil {
			a = answer{Panic: fmt.Sprintf("%v\n%s", panicked, debug.Stack())}
		}
	}()
	switch q.Ask {
	case "fuzz":
		return fuzz(q)
	case "label":
		return fieldLabel(q)
	}
	return judge(q)
}

// statusOf is the answer that a client gets for an error.
func statusOf(err error) *metav1.Status {
	if err == nil {
		return nil
	}
	if known, ok := err.(errors.APIStatus); ok {
		status := known.Status()
		return &status
	}
	return &errors.NewInternalError(err).ErrStatus
}
