package main

import (
	"bytes"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
)

// count is how the tests of a group ended.
type count struct {
	passed, failed, skipped, notRun int
	seconds                         float64
}

func (c *count) add(outcome outcome) {
	switch outcome.state {
	case passed:
		c.passed++
	case failed:
		c.failed++
	case skipped:
		c.skipped++
	default:
		c.notRun++
	}
	c.seconds += outcome.seconds
}

func (c count) total() int { return c.passed + c.failed + c.skipped + c.notRun }

func countOf(outcomes []outcome) count {
	var all count
	for _, outcome := range outcomes {
		all.add(outcome)
	}
	return all
}

// inOneLine is what a run says at its end.
func inOneLine(outcomes []outcome) string {
	all := countOf(outcomes)
	return fmt.Sprintf("%d passed, %d failed, %d skipped; %.0f s in tests, median of those that passed %.1f s",
		all.passed, all.failed, all.skipped, all.seconds, median(secondsOf(outcomes)))
}

func secondsOf(outcomes []outcome) []float64 {
	var seconds []float64
	for _, outcome := range outcomes {
		if outcome.state == passed {
			seconds = append(seconds, outcome.seconds)
		}
	}
	return seconds
}

func median(values []float64) float64 {
	if len(values) == 0 {
		return 0
	}
	slices.Sort(values)
	return values[len(values)/2]
}

// summary is a table with a line for each special interest group and topic.
func summary(ledger ledger) string {
	var out strings.Builder
	all := countOf(ledger.sorted())
	fmt.Fprintf(&out, "%d of %d conformance tests pass; %d fail, %d skip themselves, %d did not run.\n\n",
		all.passed, all.total(), all.failed, all.skipped, all.notRun)
	out.WriteString("| group | topic | tests | pass | fail | skip | not run | seconds |\n|---|---|--:|--:|--:|--:|--:|--:|\n")
	for _, sig := range groups(ledger, func(o outcome) string { return o.sig }) {
		row(&out, "**"+sig.name+"**", "", sig.outcomes)
		for _, topic := range groups(byName(sig.outcomes), func(o outcome) string { return o.topic }) {
			row(&out, "", topic.name, topic.outcomes)
		}
	}
	return out.String()
}

func row(out *strings.Builder, sig, topic string, outcomes []outcome) {
	count := countOf(outcomes)
	fmt.Fprintf(out, "| %s | %s | %d | %s | %s | %s | %s | %.0f |\n", sig, cell(topic), count.total(),
		blankZero(count.passed), blankZero(count.failed), blankZero(count.skipped), blankZero(count.notRun), count.seconds)
}

func blankZero(number int) string {
	if number == 0 {
		return ""
	}
	return fmt.Sprint(number)
}

// failures lists each failed test with its first error and its durations.
func failures(ledger ledger) string {
	var out strings.Builder
	for _, outcome := range ledger.sorted() {
		if outcome.state != failed {
			continue
		}
		fmt.Fprintf(&out, "- %s\n  %.1f s (before: %.1f s): `%s`\n", outcome.name, outcome.seconds, outcome.previous,
			strings.ReplaceAll(outcome.message, "`", "'"))
	}
	return out.String()
}

// tables is the generated part of the page.
func tables(ledger ledger, stock map[string]outcome, reasons reasons) string {
	return summary(ledger) + beside(ledger, stock) + "\n" + because(ledger, reasons)
}

// slower is by how many seconds a test must take longer than with the stock components to be named.
const slower = 1.0

// beside compares durations with the stock components', over the tests that pass with both.
func beside(ledger ledger, stock map[string]outcome) string {
	var ours, theirs []float64
	var named strings.Builder
	for _, outcome := range ledger.sorted() {
		other := stock[outcome.name]
		if outcome.state != passed || other.state != passed {
			continue
		}
		ours, theirs = append(ours, outcome.seconds), append(theirs, other.seconds)
		if outcome.seconds >= other.seconds+slower {
			fmt.Fprintf(&named, "- %.1f s here, %.1f s there: %s\n", outcome.seconds, other.seconds, outcome.name)
		}
	}
	if len(ours) == 0 {
		return ""
	}
	if named.Len() == 0 {
		named.WriteString("None.\n")
	}
	return fmt.Sprintf("\nOf the %d tests that pass here and with the stock components, the median takes %.2f s here, %.2f s there; "+
		"all together %.0f s and %.0f s. Slower here by a second or more:\n\n%s",
		len(ours), median(ours), median(theirs), sum(ours), sum(theirs), named.String())
}

func sum(values []float64) float64 {
	var total float64
	for _, value := range values {
		total += value
	}
	return total
}

// because lists the failed and skipped tests under the reasons that are known for them, and the rest under none.
func because(ledger ledger, reasons reasons) string {
	var out strings.Builder
	known := map[string]bool{}
	for _, reason := range reasons {
		var waiting []outcome
		for _, name := range reason.tests {
			known[name] = true
			if outcome := ledger[name]; outcome.state == failed || outcome.state == skipped {
				waiting = append(waiting, outcome)
			}
		}
		section(&out, reason.title, reason.text, waiting)
	}
	var unknown []outcome
	for _, outcome := range ledger.sorted() {
		if !known[outcome.name] && (outcome.state == failed || outcome.state == skipped) {
			unknown = append(unknown, outcome)
		}
	}
	section(&out, "Not looked into yet", "", unknown)
	return out.String()
}

func section(out *strings.Builder, title, text string, outcomes []outcome) {
	if len(outcomes) == 0 {
		return
	}
	fmt.Fprintf(out, "### %s (%d)\n\n", title, len(outcomes))
	if text != "" {
		out.WriteString(text + "\n\n")
	}
	for _, outcome := range outcomes {
		fmt.Fprintf(out, "- %s\n", cell(outcome.name))
	}
	out.WriteString("\n")
}

func cell(text string) string { return strings.ReplaceAll(text, "|", `\|`) }

// named is the outcomes that share a name.
type named struct {
	name     string
	outcomes []outcome
}

func groups(ledger ledger, key func(outcome) string) []named {
	found := map[string][]outcome{}
	for _, outcome := range ledger.sorted() {
		found[key(outcome)] = append(found[key(outcome)], outcome)
	}
	var sorted []named
	for _, name := range slices.Sorted(maps.Keys(found)) {
		sorted = append(sorted, named{name, found[name]})
	}
	return sorted
}

func byName(outcomes []outcome) ledger {
	named := ledger{}
	for _, outcome := range outcomes {
		named[outcome.name] = outcome
	}
	return named
}

// The page's generated part stands between these lines.
const (
	begin = "<!-- Written by conformance/report; do not edit. -->\n"
	end   = "<!-- End of what conformance/report writes. -->\n"
)

func replaceTables(page []byte, tables string) ([]byte, error) {
	before, rest, found := bytes.Cut(page, []byte(begin))
	if !found {
		return nil, errors.New("the line that begins the tables is missing")
	}
	_, after, found := bytes.Cut(rest, []byte(end))
	if !found {
		return nil, errors.New("the line that ends the tables is missing")
	}
	return slices.Concat(before, []byte(begin), []byte("\n"+tables), []byte(end), after), nil
}
