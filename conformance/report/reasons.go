package main

import (
	"fmt"
	"os"
	"strings"
)

// reason says why some tests fail: the capability that they wait for, or the fault.
type reason struct {
	title, text string
	tests       []string
}

type reasons []reason

// readReasons reads a file of sections: a line "# TITLE", lines of text, and the names of tests, each behind a dash.
func readReasons(path string) (reasons, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	var read reasons
	for number, line := range strings.Split(string(text), "\n") {
		title, isTitle := strings.CutPrefix(line, "# ")
		if isTitle {
			read = append(read, reason{title: title})
			continue
		}
		if strings.TrimSpace(line) == "" {
			continue
		}
		if len(read) == 0 {
			return nil, fmt.Errorf("%s:%d: a title must come first", path, number+1)
		}
		read[len(read)-1].take(line)
	}
	return read, nil
}

func (r *reason) take(line string) {
	if name, isTest := strings.CutPrefix(line, "- "); isTest {
		r.tests = append(r.tests, name)
		return
	}
	r.text = strings.TrimSpace(r.text + " " + line)
}
