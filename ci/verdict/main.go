// SPDX-License-Identifier: Apache-2.0

// Command verdict runs `go test` with the arguments that it is given, prints what go test would print, and ends with one line that
// says how it went: "N passed, N failed".
//
// It exists for one rule that go test doesn't have: where CI is set, a test that was skipped has failed, because a test that no machine
// of ours runs proves nothing. Every test and subtest counts; a package that doesn't build, or dies outside a test, counts as one failed.
package main

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
)

func main() {
	err := run(os.Args[1:], os.Getenv("CI") != "", os.Stdout, os.Stderr)
	if err == nil {
		return
	}
	if !errors.Is(err, errFailed) {
		fmt.Fprintln(os.Stderr, "verdict:", err)
	}
	os.Exit(1)
}

// errFailed is returned after the closing line has said how many failed.
var errFailed = errors.New("tests failed")

// run executes go test with args. Skips fail when strict is set.
func run(args []string, strict bool, out, errOut io.Writer) error {
	cmd := exec.Command("go", append([]string{"test", "-json"}, args...)...)
	cmd.Stderr = errOut
	events, err := cmd.StdoutPipe()
	if err != nil {
		return fmt.Errorf("go test: %w", err)
	}
	if err := cmd.Start(); err != nil {
		return fmt.Errorf("go test: %w", err)
	}
	tally, readErr := count(events, out)
	if err := errors.Join(readErr, cmd.Wait()); err != nil && tally.failed == 0 {
		return fmt.Errorf("go test: %w", err)
	}
	return tally.close(strict, out)
}

// event is the part that we read of a line of `go test -json`; see `go doc test2json`.
type event struct {
	Action  string
	Package string
	Test    string // "" for what concerns the package
	Output  string
}

// tally counts tests by how they ended, and keeps what each package printed until it is known what of that matters.
type tally struct {
	passed, failed int
	skipped        []string // "package test"
	packages       map[string]*transcript
}

// transcript is what the tests of one package printed.
type transcript struct {
	output []event
	passed map[string]bool
	failed bool
}

// count reads go test's events, and copies to out what tests that didn't pass have printed.
func count(events io.Reader, out io.Writer) (*tally, error) {
	t := &tally{packages: map[string]*transcript{}}
	lines := bufio.NewReader(events)
	for {
		line, err := lines.ReadBytes('\n')
		if errors.Is(err, io.EOF) {
			return t, nil
		}
		if err != nil {
			return t, err
		}
		var e event
		if json.Unmarshal(line, &e) != nil { // go itself complains in plain text
			e = event{Action: "build-output", Output: string(line)}
		}
		if _, err := io.WriteString(out, t.add(e)); err != nil {
			return t, err
		}
	}
}

// add counts one event and returns what there is to print after it.
func (t *tally) add(e event) string {
	p := t.packages[e.Package]
	if p == nil {
		p = &transcript{passed: map[string]bool{}}
		t.packages[e.Package] = p
	}
	switch e.Action {
	case "build-output":
		return e.Output
	case "output":
		p.output = append(p.output, e)
	case "pass", "fail", "skip":
		t.end(p, e)
		if e.Test == "" {
			return p.text()
		}
	}
	return ""
}

// end counts a test or a package that has ended. Packages count only if they fail without a test of theirs to blame.
func (t *tally) end(p *transcript, e event) {
	isTest := e.Test != ""
	switch {
	case e.Action == "pass" && isTest:
		t.passed++
		p.passed[e.Test] = true
	case e.Action == "skip" && isTest:
		t.skipped = append(t.skipped, e.Package+" "+e.Test)
	case e.Action == "fail" && (isTest || !p.failed):
		t.failed++
		p.failed = true
	}
}

// text is what the package printed, without the tests that passed.
func (p *transcript) text() string {
	var text strings.Builder
	for _, e := range p.output {
		if !p.passed[e.Test] && e.Output != "PASS\n" {
			text.WriteString(e.Output)
		}
	}
	return text.String()
}

// close prints what was skipped and the closing line. Skips fail when strict is set.
func (t *tally) close(strict bool, out io.Writer) error {
	var text strings.Builder
	for _, name := range t.skipped {
		fmt.Fprintf(&text, "skipped: %s\n", name)
	}
	failed := t.failed
	if strict {
		failed += len(t.skipped)
	}
	fmt.Fprintf(&text, "%d passed, %d failed\n", t.passed, failed)
	if _, err := io.WriteString(out, text.String()); err != nil {
		return err
	}
	if failed > 0 {
		return errFailed
	}
	return nil
}
