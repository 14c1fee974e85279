// SPDX-License-Identifier: Apache-2.0

package syscall

import (
	"strings"

	"github.com/assaylab/assay/scenarios"
)

// Kinds returns the kinds of work that this package has.
func Kinds() []scenarios.Kind { return []scenarios.Kind{stormKind(), mixKind(), replayKind()} }

// crewParams are the parameters that storm and mix have.
func crewParams() []scenarios.Param {
	var sizes []string
	for _, c := range calls {
		if c.maxSize > 0 {
			sizes = append(sizes, c.name+" up to "+sizeText(c.maxSize))
		}
	}
	return []scenarios.Param{
		{
			Name: "threads", Type: scenarios.Int, Default: "1", Min: 1, Max: 64,
			About: "that make calls; a partner that only answers comes on top",
		},
		{
			Name: "size", Type: scenarios.Size, Default: "64", Min: 1, Max: 1 << 30,
			About: "of what a call reads, writes, opens, sends or maps (" + strings.Join(sizes, ", ") + "); the others have none",
		},
		{
			Name: placementParam, Type: scenarios.Choice, Default: anywhere, Choices: []string{anywhere, together},
			About: "where threads run: " + anywhere + " the scheduler likes, or " + together + " with their partner on one CPU, the next thread on the " +
				"next CPU that the process may use",
		},
		{
			Name: "folder", Type: scenarios.Text,
			About: "in which the calls' files are made; without it " + sharedMemory + " or, where there is none, the folder for temporary files",
		},
		{
			Name: "spin", Type: scenarios.Duration, Default: "0s", Min: 0, Max: 1,
			About: "work without calls that is added to each operation: a slowdown of known size",
		},
	}
}
