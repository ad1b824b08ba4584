package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"regexp"
	"slices"
	"strings"

	"github.com/onsi/ginkgo/v2/reporters"
	"github.com/onsi/ginkgo/v2/types"
)

// errorLength is how many characters of a failure's message a line of a table gets.
const errorLength = 240

// readRuns reads what the suite's processes noted (see suite/outcomes_test.go): each conformance test with its last run.
func readRuns(paths []string) (types.Report, error) {
	suite := types.Report{SuiteDescription: "Kubernetes conformance suite"}
	tests := map[string]types.SpecReport{}
	for _, path := range paths {
		if err := readNotes(path, tests); err != nil {
			return suite, fmt.Errorf("%s: %w", path, err)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(tests)) {
		suite.SpecReports = append(suite.SpecReports, tests[name])
	}
	if !slices.ContainsFunc(suite.SpecReports, hasRun) {
		return suite, errors.New("no test ran")
	}
	return frame(suite), nil
}

func readNotes(path string, tests map[string]types.SpecReport) error {
	file, err := os.Open(path)
	if err != nil {
		return err
	}
	defer file.Close()
	for notes := json.NewDecoder(file); ; {
		var spec types.SpecReport
		switch err := notes.Decode(&spec); {
		case errors.Is(err, io.EOF):
			return nil
		case err != nil:
			return err
		}
		if known, found := tests[spec.FullText()]; !found || hasRun(spec) || !hasRun(known) {
			tests[spec.FullText()] = spec
		}
	}
}

// hasRun tells a test that ran, or skipped itself, or was begun, from one that nobody asked for.
func hasRun(spec types.SpecReport) bool {
	return spec.NumAttempts > 0 || wasBegun(spec)
}

// wasBegun tells a test of which only the beginning was noted: its process did not outlive it.
func wasBegun(spec types.SpecReport) bool {
	return spec.State == types.SpecStateInvalid
}

// frame gives the suite the time that its tests took, and a failure to those that were only begun.
func frame(suite types.Report) types.Report {
	suite.SuiteSucceeded = true
	for i := range suite.SpecReports {
		spec := &suite.SpecReports[i]
		if wasBegun(*spec) {
			spec.State = types.SpecStatePanicked
			spec.NumAttempts = 1
			spec.Failure = types.Failure{Message: "the test ended its process"}
		}
		if !hasRun(*spec) {
			continue
		}
		suite.SuiteSucceeded = suite.SuiteSucceeded && !spec.Failed()
		suite.RunTime += spec.RunTime
		if suite.StartTime.IsZero() || !spec.StartTime.IsZero() && spec.StartTime.Before(suite.StartTime) {
			suite.StartTime = spec.StartTime
		}
		if spec.EndTime.After(suite.EndTime) {
			suite.EndTime = spec.EndTime
		}
	}
	return suite
}

func ran(suite types.Report) []outcome {
	var outcomes []outcome
	for _, spec := range suite.SpecReports {
		if hasRun(spec) {
			outcomes = append(outcomes, outcomeOf(spec))
		}
	}
	return outcomes
}

func outcomeOf(spec types.SpecReport) outcome {
	sig, topic := placeOf(spec)
	outcome := outcome{
		name:    spec.FullText(),
		sig:     sig,
		topic:   topic,
		state:   notRun,
		seconds: spec.RunTime.Seconds(),
		serial:  slices.Contains(spec.Labels(), "Serial"),
	}
	switch {
	case !hasRun(spec):
	case spec.State == types.SpecStatePassed:
		outcome.state = passed
	case spec.State == types.SpecStateSkipped:
		outcome.state = skipped
		outcome.message = firstError(spec.Failure.Message)
	default:
		outcome.state = failed
		outcome.message = firstError(spec.Failure.Message)
	}
	return outcome
}

var (
	group = regexp.MustCompile(`^\[(sig-[a-z-]+)\]\s*`)
	tag   = regexp.MustCompile(`\s*\[[^\]]*:[^\]]*\]|\s*\[(Serial|Slow|Disruptive|Feature|Conformance)\]`)
)

// placeOf takes the special interest group and the topic from the text around a test: "[sig-x] Topic [Tag]".
func placeOf(spec types.SpecReport) (sig, topic string) {
	sig = "none"
	if len(spec.ContainerHierarchyTexts) == 0 {
		return sig, ""
	}
	topic = spec.ContainerHierarchyTexts[0]
	if match := group.FindStringSubmatch(topic); match != nil {
		sig, topic = match[1], topic[len(match[0]):]
	}
	return sig, strings.TrimSpace(tag.ReplaceAllString(topic, ""))
}

// checkout is where this repository lies on the machine of a run, as far as messages name programs built in it.
var checkout = regexp.MustCompile(`/[^\s=]*/(target/conformance/)`)

// firstError is the beginning of a failure's message on one line, the same on every machine. The first line alone often
// says only that there is an error.
func firstError(message string) string {
	line := checkout.ReplaceAllString(strings.Join(strings.Fields(message), " "), "$1")
	if characters := []rune(line); len(characters) > errorLength {
		line = string(characters[:errorLength]) + "…"
	}
	return line
}

func writeJUnit(suite types.Report, path string) error {
	return reporters.GenerateJUnitReportWithConfig(suite, path, reporters.JunitReportConfig{
		OmitTimelinesForSpecState: types.SpecStatePassed | types.SpecStateSkipped | types.SpecStatePending,
		OmitSpecLabels:            true,
		OmitLeafNodeType:          true,
	})
}
