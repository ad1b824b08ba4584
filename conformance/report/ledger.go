package main

import (
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"slices"
	"strconv"
	"strings"

	"github.com/onsi/ginkgo/v2/types"
)

// How a test ended the last time that it ran.
const (
	passed  = "passed"
	failed  = "failed"
	skipped = "skipped"
	notRun  = "not run"
)

// outcome is what is known about one conformance test.
type outcome struct {
	name string
	// sig and topic say where the test belongs, in upstream's words.
	sig, topic string
	state      string
	// How long it took, the last time and the time before; 0 is not known.
	seconds, previous float64
	// serial tests may not run beside others.
	serial bool
	// message is the first error of a failed test, or why it skipped itself.
	message string
}

// ledger knows every conformance test's last outcome, by name: a run of a few tests leaves the others' lines alone.
type ledger map[string]outcome

func readLedger(path string) (ledger, error) {
	text, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return ledger{}, nil
	}
	if err != nil {
		return nil, err
	}
	read := ledger{}
	for number, line := range strings.Split(strings.TrimSuffix(string(text), "\n"), "\n") {
		if number == 0 {
			continue
		}
		outcome, err := parseOutcome(line)
		if err != nil {
			return nil, fmt.Errorf("%s:%d: %w", path, number+1, err)
		}
		read[outcome.name] = outcome
	}
	return read, nil
}

// columns are the ledger's, in order.
const columns = "outcome\tseconds\tprevious\tserial\tsig\ttopic\ttest\tmessage"

func parseOutcome(line string) (outcome, error) {
	fields := strings.Split(line, "\t")
	if len(fields) != 8 {
		return outcome{}, fmt.Errorf("%d columns instead of 8", len(fields))
	}
	seconds, err := strconv.ParseFloat(fields[1], 64)
	if err != nil {
		return outcome{}, err
	}
	previous, err := strconv.ParseFloat(fields[2], 64)
	if err != nil {
		return outcome{}, err
	}
	return outcome{
		state: fields[0], seconds: seconds, previous: previous, serial: fields[3] == "serial",
		sig: fields[4], topic: fields[5], name: fields[6], message: fields[7],
	}, nil
}

func (o outcome) line() string {
	serial := ""
	if o.serial {
		serial = "serial"
	}
	return fmt.Sprintf("%s\t%.1f\t%.1f\t%s\t%s\t%s\t%s\t%s",
		o.state, o.seconds, o.previous, serial, o.sig, o.topic, o.name, o.message)
}

// enter takes a run's outcomes in; tests that did not run are entered only when they are not known yet.
func (l ledger) enter(suite types.Report) {
	for _, spec := range suite.SpecReports {
		fresh := outcomeOf(spec)
		known, found := l[fresh.name]
		if found && fresh.state == notRun {
			continue
		}
		fresh.previous = known.seconds
		l[fresh.name] = fresh
	}
}

func (l ledger) write(path string) error {
	lines := []string{columns}
	for _, outcome := range l.sorted() {
		lines = append(lines, outcome.line())
	}
	return os.WriteFile(path, []byte(strings.Join(lines, "\n")+"\n"), 0o644)
}

func (l ledger) sorted() []outcome {
	return slices.SortedFunc(maps.Values(l), func(a, b outcome) int { return strings.Compare(a.name, b.name) })
}
