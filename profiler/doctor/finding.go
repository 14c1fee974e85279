// SPDX-License-Identifier: Apache-2.0

package doctor

import (
	"errors"
	"strings"
	"unicode"

	"github.com/cilium/ebpf"
)

// maxFound bounds what a check tells, in characters.
const maxFound = 200

// tried is the finding of a probe: found when it went well, else the words of
// the refusal.
func tried(found string, err error) finding {
	if err != nil {
		return finding{status: Missing, found: words(err)}
	}
	return finding{status: OK, found: found}
}

// unknown is the finding of a look that failed.
func unknown(err error) finding { return finding{status: Unknown, found: words(err)} }

// words is an error on one line. Of a verifier's log the last line is kept,
// which says why. The library's guess that RLIMIT_MEMLOCK is low is left out:
// from 5.11 on, the limit has no say.
func words(err error) string {
	text := err.Error()
	var refusal *ebpf.VerifierError
	if errors.As(err, &refusal) {
		text = refusal.Error()
	}
	before, _, _ := strings.Cut(text, " (MEMLOCK may be too low")
	return oneLine(before)
}

// oneLine makes text fit for a cell: one line, no control characters, bounded.
func oneLine(text string) string {
	text = strings.Map(func(r rune) rune {
		if !unicode.IsPrint(r) {
			return ' '
		}
		return r
	}, text)
	cell := []rune(strings.Join(strings.Fields(text), " "))
	if len(cell) > maxFound {
		return string(cell[:maxFound-1]) + "…"
	}
	return string(cell)
}
