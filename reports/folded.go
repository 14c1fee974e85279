// SPDX-License-Identifier: Apache-2.0

package reports

import (
	"bufio"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"

	"github.com/google/pprof/profile"
)

// FoldedOptions say what Folded shows.
type FoldedOptions struct {
	SampleType string // name of a sample type; empty for the profile's default
}

// Folded writes one line for each distinct stack: frames from the root to the leaf with semicolons between, a space, and the value in the unit of
// the sample type. The root is the name of the thread (each thread by itself for the type "wall"); frames of the kernel end in "_[k]". A semicolon
// in a name is written as \x3b. Lines are sorted; stacks without value are left out.
func Folded(w io.Writer, p *profile.Profile, opts FoldedOptions) error {
	index, err := sampleIndex(p, opts.SampleType)
	if err != nil {
		return fmt.Errorf("folded: %w", err)
	}
	stacks := foldStacks(p, index)
	b := bufio.NewWriter(w)
	for _, stack := range slices.Sorted(maps.Keys(stacks)) {
		fmt.Fprintf(b, "%s %d\n", stack, stacks[stack])
	}
	return b.Flush()
}

func foldStacks(p *profile.Profile, index int) map[string]int64 {
	names := namer{}
	stacks := map[string]int64{}
	for _, s := range p.Sample {
		if v := s.Value[index]; v != 0 {
			line := fold(names.rootFirst(s, isWall(p, index)))
			stacks[line] = addSaturating(stacks[line], v)
		}
	}
	return stacks
}

// isWall tells the sample type whose stacks add up to wall time only a thread at a time.
func isWall(p *profile.Profile, index int) bool { return p.SampleType[index].Type == "wall" }

func fold(stack []frame) string {
	names := make([]string, len(stack))
	for i, f := range stack {
		names[i] = strings.ReplaceAll(f.name, ";", `\x3b`)
		if f.inKernel() {
			names[i] += "_[k]"
		}
	}
	return strings.Join(names, ";")
}
