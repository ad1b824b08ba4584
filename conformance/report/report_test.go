package main

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/onsi/ginkgo/v2/types"
)

func note(t *testing.T, name string, state types.SpecState, attempts int, message string) string {
	t.Helper()
	spec := types.SpecReport{
		ContainerHierarchyTexts:  []string{"[sig-node] Pods [Privileged:ClusterAdmin]"},
		ContainerHierarchyLabels: [][]string{{"sig-node"}},
		LeafNodeType:             types.NodeTypeIt,
		LeafNodeText:             name,
		LeafNodeLabels:           []string{"Conformance"},
		State:                    state,
		NumAttempts:              attempts,
		Failure:                  types.Failure{Message: message},
	}
	text, err := spec.MarshalJSON()
	if err != nil {
		t.Fatal(err)
	}
	return string(text) + "\n"
}

func enter(t *testing.T, ledger ledger, notes ...string) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "outcomes-1.jsonl")
	if err := os.WriteFile(path, []byte(strings.Join(notes, "")), 0o600); err != nil {
		t.Fatal(err)
	}
	suite, err := readRuns([]string{path})
	if err != nil {
		t.Fatal(err)
	}
	ledger.enter(suite)
}

const prefix = "[sig-node] Pods [Privileged:ClusterAdmin] "

func TestARunOfSomeTestsLeavesTheOthersAlone(t *testing.T) {
	ledger := ledger{}
	enter(t, ledger, note(t, "a", types.SpecStatePassed, 1, ""), note(t, "b", types.SpecStateFailed, 1, "no\n\tpods"))
	enter(t, ledger, note(t, "a", types.SpecStateSkipped, 0, ""), note(t, "b", types.SpecStatePassed, 1, ""))
	for _, name := range []string{"a", "b"} {
		if state := ledger[prefix+name].state; state != passed {
			t.Errorf("%s: %s", name, state)
		}
	}
	if a := ledger[prefix+"a"]; a.sig != "sig-node" || a.topic != "Pods" {
		t.Errorf("%s %s", a.sig, a.topic)
	}
}

func TestATestThatEndedItsProcessHasFailed(t *testing.T) {
	ledger := ledger{}
	enter(t, ledger, note(t, "a", types.SpecStateInvalid, 0, ""), note(t, "b", types.SpecStatePassed, 1, ""))
	if a := ledger[prefix+"a"]; a.state != failed || a.message == "" {
		t.Errorf("%+v", a)
	}
}

func TestALedgerReadsWhatItWrote(t *testing.T) {
	ledger := ledger{}
	enter(t, ledger, note(t, "a", types.SpecStateFailed, 1, "no\n\tpods"), note(t, "b", types.SpecStateSkipped, 0, ""))
	path := filepath.Join(t.TempDir(), ledgerFile)
	if err := ledger.write(path); err != nil {
		t.Fatal(err)
	}
	read, err := readLedger(path)
	if err != nil {
		t.Fatal(err)
	}
	if a := read[prefix+"a"]; len(read) != 2 || a != ledger[prefix+"a"] || a.message != "no pods" {
		t.Errorf("%+v", read)
	}
}

func TestThePageSaysWhyATestFails(t *testing.T) {
	ledger := ledger{}
	enter(t, ledger, note(t, "a", types.SpecStateFailed, 1, "x"), note(t, "b", types.SpecStateFailed, 1, "y"))
	known := reasons{{title: "Jobs", text: "Not built.", tests: []string{prefix + "a", "one that passes"}}}
	page, err := replaceTables([]byte("before\n"+begin+"old\n"+end+"after\n"), tables(ledger, nil, known))
	if err != nil {
		t.Fatal(err)
	}
	for _, part := range []string{"before\n", "### Jobs (1)\n\nNot built.\n\n- " + prefix + "a\n", "### Not looked into yet (1)\n\n- " + prefix + "b\n", "after\n"} {
		if !strings.Contains(string(page), part) {
			t.Errorf("%q is missing in:\n%s", part, page)
		}
	}
	if strings.Contains(string(page), "old\n") {
		t.Error("the old tables are still there")
	}
}

func TestNamedTestsThatDidNotPassAreFaults(t *testing.T) {
	ledger := ledger{}
	enter(t, ledger, note(t, "a", types.SpecStatePassed, 1, ""), note(t, "b", types.SpecStateFailed, 1, "no pods"),
		note(t, "c", types.SpecStateSkipped, 1, "no disk"))
	faults := faultsOf(ledger, []string{prefix + "a", prefix + "b", prefix + "c", "nobody's"})
	want := []string{
		"failed: " + prefix + "b\n    no pods",
		"skipped: " + prefix + "c\n    no disk",
		"not run: nobody's\n    ",
	}
	if !slices.Equal(faults, want) {
		t.Errorf("%q", faults)
	}
}

func TestWhatIsSlowerThanStockIsNamed(t *testing.T) {
	took := func(a, b float64) ledger {
		return ledger{
			"a": {name: "a", state: passed, seconds: a},
			"b": {name: "b", state: passed, seconds: b},
		}
	}
	text := beside(took(31, 1), took(1, 2))
	if !strings.Contains(text, "- 31.0 s here, 1.0 s there: a\n") || strings.Contains(text, ": b\n") {
		t.Error(text)
	}
}

func TestErrorsDoNotNameTheMachine(t *testing.T) {
	got := firstError("error running /some/where/target/conformance/bin/kubectl\n --kubeconfig=/some/where/target/conformance/run-1/kubeconfig")
	if want := "error running target/conformance/bin/kubectl --kubeconfig=target/conformance/run-1/kubeconfig"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}
