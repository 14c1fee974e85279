// SPDX-License-Identifier: Apache-2.0

// Package report is what a guest says to its host over the serial console: one line a check, told apart from the kernel's own messages
// by a mark, and one line when all checks have run. A guest that dies on the way is thereby known from one that passed.
package report

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"strings"
)

// mark opens a line of ours. The kernel may have written in front of it.
const mark = "##assay "

// maxLine bounds a line of the log in bytes; a check's output is cut well before that.
const maxLine = 1 << 20

// Result is how one check went. The zero Result, without a name, says that all checks have run.
type Result struct {
	Check   string
	Error   string  `json:",omitempty"` // empty if the check passed
	Detail  string  `json:",omitempty"` // what was seen, in a few words
	Output  string  `json:",omitempty"` // what the checked program printed
	Seconds float64 // in the guest, which emulation slows down
}

// Write sends one result as a line.
func Write(w io.Writer, r Result) error {
	line, err := json.Marshal(r)
	if err != nil {
		return fmt.Errorf("result of %s: %w", r.Check, err)
	}
	_, err = fmt.Fprintf(w, "\n%s%s\n", mark, line)
	return err
}

// Read finds the results in a guest's log. It reports whether the guest said that all checks have run.
func Read(log io.Reader) (results []Result, whole bool, err error) {
	lines := bufio.NewScanner(log)
	lines.Buffer(nil, maxLine)
	for lines.Scan() {
		_, line, found := strings.Cut(lines.Text(), mark)
		if !found {
			continue
		}
		var r Result
		if err := json.Unmarshal([]byte(line), &r); err != nil {
			return results, false, fmt.Errorf("result line %.80q: %w", line, err)
		}
		if r.Check == "" {
			return results, true, nil
		}
		results = append(results, r)
	}
	return results, false, lines.Err()
}
