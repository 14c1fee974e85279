// SPDX-License-Identifier: Apache-2.0

package facts

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
)

// MaxBytes bounds the comment that Parse takes: it comes from a file that anyone may have written.
const MaxBytes = 1 << 20

// ErrMerged says that a profile holds the facts of several measurements, so that none of them is true of the whole.
var ErrMerged = errors.New("facts: of several recordings: the profile was merged")

// Parse finds the facts among the comments of a profile. A profile without any gives none and no error. An error says which line is wrong.
func Parse(comments []string) (Facts, error) {
	const family = "assay-facts "
	var found []string
	for _, c := range comments {
		if strings.HasPrefix(c, family) {
			found = append(found, c)
		}
	}
	switch {
	case len(found) == 0:
		return nil, nil
	case len(found) > 1:
		return nil, ErrMerged
	}
	return parse(found[0])
}

func parse(comment string) (Facts, error) {
	if len(comment) > MaxBytes {
		return nil, fmt.Errorf("facts: more than %d bytes", MaxBytes)
	}
	lines := strings.Split(strings.TrimSuffix(comment, "\n"), "\n")
	if lines[0] != Header {
		return nil, fmt.Errorf("facts: header %.40q is not %q", lines[0], Header)
	}
	f := make(Facts, 0, len(lines)-1)
	seen := make(map[string]bool, len(lines))
	for i, line := range lines[1:] {
		fact, err := parseLine(line)
		if err == nil && seen[fact.Key] {
			err = fmt.Errorf("%s again", fact.Key)
		}
		if err != nil {
			return nil, fmt.Errorf("facts: line %d: %w", i+2, err)
		}
		seen[fact.Key] = true
		f = append(f, fact)
	}
	return f, nil
}

func parseLine(line string) (Fact, error) {
	key, value, ok := strings.Cut(line, "=")
	if !ok {
		return Fact{}, errors.New("no =")
	}
	if key == "" || cleanKey(key) != key {
		return Fact{}, fmt.Errorf("bad key %.40q", key)
	}
	if !strings.HasPrefix(value, `"`) {
		return Fact{key, value}, nil
	}
	value, err := strconv.Unquote(value)
	if err != nil {
		return Fact{}, fmt.Errorf("%s: unfinished quote", key)
	}
	return Fact{key, value}, nil
}
