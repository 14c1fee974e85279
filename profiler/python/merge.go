// SPDX-License-Identifier: Apache-2.0

package python

// Merge puts frames of Python in place of the native frames that run them: of a stack of native frames, those of the interpreter's
// loop (inLoop) are replaced, each by the frames of Python that it runs, up to and with the one that is marked as its entry.
// Both stacks and the result are innermost first.
//
// The two halves need not fit: the native stack may be cut or broken, or was taken just as the loop began, without a frame of Python yet.
// Whole says that the native stack reaches its root: then the outermost belong together, else the innermost. Loops for which there is
// nothing are left as they are, and frames of Python for which there is no loop stand with the innermost loop, or else at the outer end.
func Merge[T any](native []T, inLoop func(T) bool, whole bool, python []T, entry func(T) bool) []T {
	groups := split(python, entry)
	loops := 0
	for _, n := range native {
		if inLoop(n) {
			loops++
		}
	}
	if extra := len(groups) - loops; whole && loops > 0 && extra > 0 {
		n := 0
		for _, g := range groups[:extra+1] {
			n += len(g)
		}
		groups = append([][]T{python[:n]}, groups[extra+1:]...)
	}
	merged := make([]T, 0, len(native)+len(python))
	for _, n := range native {
		if !inLoop(n) || len(groups) == 0 || whole && loops > len(groups) {
			merged = append(merged, n)
		} else {
			merged = append(merged, groups[0]...)
			groups = groups[1:]
		}
		if inLoop(n) {
			loops--
		}
	}
	for _, g := range groups {
		merged = append(merged, g...)
	}
	return merged
}

// split cuts a stack behind each frame that is an entry.
func split[T any](python []T, entry func(T) bool) [][]T {
	var groups [][]T
	first := 0
	for i, p := range python {
		if entry(p) || i == len(python)-1 {
			groups = append(groups, python[first:i+1])
			first = i + 1
		}
	}
	return groups
}
