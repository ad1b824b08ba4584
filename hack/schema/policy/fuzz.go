package main

import (
	"math/rand"

	"k8s.io/apimachinery/pkg/api/apitesting/fuzzer"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/kubernetes/pkg/api/legacyscheme"
	apitesting "k8s.io/kubernetes/pkg/api/testing"
)

// fuzz makes an object with upstream's fuzzers, which know what upstream's own round trips survive, not what is valid.
func fuzz(q question) answer {
	gvk := schema.FromAPIVersionAndKind(q.APIVersion, q.Kind)
	gvk.Version = "__internal"
	obj, err := legacyscheme.Scheme.New(gvk)
	if err != nil {
		panic(err)
	}
	fuzzer.FuzzerFor(apitesting.FuzzerFuncs, rand.NewSource(q.Seed), legacyscheme.Codecs).Fill(obj)
	return answer{Object: encoded(schema.FromAPIVersionAndKind(q.APIVersion, q.Kind), obj)}
}
