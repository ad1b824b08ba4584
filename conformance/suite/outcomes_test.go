package suite

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"sync"

	"github.com/onsi/ginkgo/v2"
	"github.com/onsi/ginkgo/v2/types"
)

// outcomesVariable names the environment variable with the directory that this process writes what it knows of each
// conformance test to: a line before the test runs and a line after it, in ginkgo's JSON. Ginkgo's own report of a
// parallel run is lost as soon as one process dies, and some tests end their process when they fail.
const outcomesVariable = "CONFORMANCE_OUTCOMES"

// noteOutcomes has every test noted. The framework first walks through all tests without running them, and ginkgo forgets
// what was registered before that; so this has to come after.
func noteOutcomes() {
	if os.Getenv(outcomesVariable) == "" {
		return
	}
	ginkgo.ReportBeforeEach(func(report types.SpecReport) {
		if report.State == types.SpecStateInvalid {
			note(report)
		}
	})
	ginkgo.ReportAfterEach(note)
}

var outcomes = sync.OnceValues(func() (*os.File, error) {
	name := fmt.Sprintf("outcomes-%d.jsonl", ginkgo.GinkgoParallelProcess())
	path := filepath.Join(os.Getenv(outcomesVariable), name)
	return os.OpenFile(path, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
})

func note(report types.SpecReport) {
	if !slices.Contains(report.Labels(), "Conformance") {
		return
	}
	line, err := json.Marshal(report)
	if err != nil {
		panic(fmt.Sprintf("the outcome of %q: %v", report.FullText(), err))
	}
	file, err := outcomes()
	if err == nil {
		_, err = file.Write(append(line, '\n'))
	}
	if err != nil {
		panic(fmt.Sprintf("the outcomes cannot be written: %v", err))
	}
}
