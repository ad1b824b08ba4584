// Command report turns what runs of the conformance suite noted into the files that people and the CNCF's
// programme read. It judges nothing: why a test fails stands in the reasons file, written by hand.
//
//	report RESULTS OUTCOMES.jsonl...   takes the runs into RESULTS: junit_01.xml, outcomes.tsv, summary.md, failures.md
//	report -docs PAGE -reasons FILE [-stock RESULTS] RESULTS    writes the tables into the page
//	report -check NAMES RESULTS   fails when one of the tests named in the file did not pass, and prints those
package main

import (
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
)

// What a directory of results holds.
const (
	ledgerFile   = "outcomes.tsv"
	junitFile    = "junit_01.xml"
	summaryFile  = "summary.md"
	failuresFile = "failures.md"
)

func main() {
	page := flag.String("docs", "", "the `page` whose tables are written anew")
	reasons := flag.String("reasons", "", "the `file` with the reasons of failures")
	stock := flag.String("stock", "", "the results `directory` of stock components, to compare durations with")
	names := flag.String("check", "", "the `file` with the names of tests that have to pass")
	flag.Parse()
	if err := report(flag.Args(), *page, *reasons, *stock, *names); err != nil {
		fmt.Fprintln(os.Stderr, "conformance/report:", err)
		os.Exit(1)
	}
}

func report(args []string, page, reasons, stock, names string) error {
	if len(args) == 0 {
		return errors.New("name the results directory")
	}
	results, runs := args[0], args[1:]
	ledger, err := readLedger(filepath.Join(results, ledgerFile))
	if err != nil {
		return err
	}
	if len(runs) > 0 {
		if err := takeRuns(results, ledger, runs); err != nil {
			return err
		}
	}
	if names != "" {
		return check(ledger, names)
	}
	if page == "" {
		return nil
	}
	return writePage(page, reasons, ledger, stock)
}

// takeRuns enters runs into a ledger and writes what a run leaves behind.
func takeRuns(results string, ledger ledger, runs []string) error {
	suite, err := readRuns(runs)
	if err != nil {
		return err
	}
	ledger.enter(suite)
	if err := os.MkdirAll(results, 0o755); err != nil {
		return err
	}
	if err := writeJUnit(suite, filepath.Join(results, junitFile)); err != nil {
		return err
	}
	if err := ledger.write(filepath.Join(results, ledgerFile)); err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(results, summaryFile), []byte(summary(ledger)), 0o644); err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(results, failuresFile), []byte(failures(ledger)), 0o644); err != nil {
		return err
	}
	fmt.Println(inOneLine(ran(suite)))
	return nil
}

func writePage(page, reasonsPath string, ledger ledger, stock string) error {
	reasons, err := readReasons(reasonsPath)
	if err != nil {
		return err
	}
	var beside map[string]outcome
	if stock != "" {
		if beside, err = readLedger(filepath.Join(stock, ledgerFile)); err != nil {
			return err
		}
	}
	text, err := os.ReadFile(page)
	if err != nil {
		return err
	}
	text, err = replaceTables(text, tables(ledger, beside, reasons))
	if err != nil {
		return fmt.Errorf("%s: %w", page, err)
	}
	return os.WriteFile(page, text, 0o644)
}
