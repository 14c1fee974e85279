// SPDX-License-Identifier: Apache-2.0

// Package catalog is the list of all kinds of work that there are.
package catalog

import (
	"fmt"
	"slices"
	"strings"

	"github.com/assaylab/assay/scenarios"
	"github.com/assaylab/assay/scenarios/load"
	"github.com/assaylab/assay/scenarios/network"
	"github.com/assaylab/assay/scenarios/syscall"
)

// Kinds returns all kinds, by name.
func Kinds() []scenarios.Kind {
	all := slices.Concat(load.Kinds(), network.Kinds(), syscall.Kinds())
	slices.SortFunc(all, func(a, b scenarios.Kind) int { return strings.Compare(a.Name, b.Name) })
	return all
}

// Find returns the kind of a name.
func Find(name string) (*scenarios.Kind, error) {
	kinds := Kinds()
	for i := range kinds {
		if kinds[i].Name == name {
			return &kinds[i], nil
		}
	}
	return nil, fmt.Errorf("kind %q: there is none of that name", name)
}
