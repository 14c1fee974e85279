// SPDX-License-Identifier: Apache-2.0

// Package nearest finds what somebody may have meant by a name that there isn't.
package nearest

import "strings"

// longest is how many bytes of a name are looked at.
const longest = 64

// Want says, for an error, what to give in place of name: the nearest of names if one is near, otherwise all of them.
func Want(name string, names []string) string {
	best, distance := "", min(len(name)/3+1, 4)
	for _, n := range names {
		if d := edits(name, n); d < distance {
			best, distance = n, d
		}
	}
	switch {
	case best != "":
		return "want " + best
	case len(names) == 1:
		return "want " + names[0]
	}
	return "want one of " + strings.Join(names, ", ")
}

// edits is how many bytes to insert, remove, replace, or exchange with the next one ("optimal string alignment"). What is too long is far
// from all.
func edits(a, b string) int {
	if len(a) > longest || len(b) > longest {
		return longest
	}
	var d [longest + 1][longest + 1]int // of the first i bytes of a to the first j of b
	for i := range len(a) + 1 {
		for j := range len(b) + 1 {
			switch {
			case i == 0 || j == 0:
				d[i][j] = i + j
			case a[i-1] == b[j-1]:
				d[i][j] = d[i-1][j-1]
			default:
				d[i][j] = 1 + min(d[i-1][j-1], d[i-1][j], d[i][j-1])
			}
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				d[i][j] = min(d[i][j], d[i-2][j-2]+1)
			}
		}
	}
	return d[len(a)][len(b)]
}
