package main

import (
	"errors"
	"fmt"
	"os"
	"strings"
)

// errNotAllPass is told after what did not pass has been printed.
var errNotAllPass = errors.New("not all tests pass")

// check prints the tests named in a file, a line each, that did not pass, with their first error.
func check(ledger ledger, namesPath string) error {
	text, err := os.ReadFile(namesPath)
	if err != nil {
		return err
	}
	faults := faultsOf(ledger, strings.Split(strings.TrimSpace(string(text)), "\n"))
	for _, fault := range faults {
		fmt.Println(fault)
	}
	if len(faults) > 0 {
		return errNotAllPass
	}
	return nil
}

// faultsOf says of each named test that did not pass how it ended. A name that no test has did not run.
func faultsOf(ledger ledger, names []string) []string {
	var faults []string
	for _, name := range names {
		outcome, found := ledger[name]
		if !found {
			outcome.state = notRun
		}
		if outcome.state != passed {
			faults = append(faults, fmt.Sprintf("%s: %s\n    %s", outcome.state, name, outcome.message))
		}
	}
	return faults
}
