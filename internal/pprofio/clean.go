// SPDX-License-Identifier: Apache-2.0

package pprofio

import (
	"fmt"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/google/pprof/profile"
)

// clean changes what p may hold in memory but a file can't carry. The kernel puts no rule on the bytes of a thread's or a file's name, and no
// process may spoil a whole recording with its own:
//
//   - bytes that are not UTF-8, which protocol buffers require, become \xNN;
//   - empty values of labels, which the format can't tell from a missing number, are removed.
func clean(p *profile.Profile) {
	for _, s := range p.Sample {
		cleanLabels(s)
	}
	for _, m := range p.Mapping {
		cleanStrings(&m.File, &m.BuildID)
	}
	for _, f := range p.Function {
		cleanStrings(&f.Name, &f.SystemName, &f.Filename)
	}
	for i := range p.Comments {
		cleanStrings(&p.Comments[i])
	}
}

func cleanLabels(s *profile.Sample) {
	for key, values := range s.Label {
		for i := range values {
			cleanStrings(&values[i])
		}
		if !slices.Contains(values, "") {
			continue
		}
		if s.Label[key] = slices.DeleteFunc(values, func(v string) bool { return v == "" }); len(s.Label[key]) == 0 {
			delete(s.Label, key)
		}
	}
}

func cleanStrings(fields ...*string) {
	for _, s := range fields {
		if !utf8.ValidString(*s) {
			*s = escapeInvalid(*s)
		}
	}
}

func escapeInvalid(s string) string {
	var b strings.Builder
	for len(s) > 0 {
		r, size := utf8.DecodeRuneInString(s)
		if r == utf8.RuneError && size == 1 {
			fmt.Fprintf(&b, `\x%02x`, s[0])
		} else {
			b.WriteString(s[:size])
		}
		s = s[size:]
	}
	return b.String()
}
