// SPDX-License-Identifier: Apache-2.0

// Package library has the scenarios that ship with Assay, each in a file NAME.yaml of this folder. They take a second or a few, need no
// settings, and stand for something that real programs do.
package library

import (
	"embed"
	"fmt"
	"strings"

	"github.com/assaylab/assay/scenarios"
	"github.com/assaylab/assay/scenarios/internal/nearest"
)

//go:embed *.yaml
var files embed.FS

const extension = ".yaml"

// All returns the scenarios, by name.
func All(kinds []scenarios.Kind) ([]*scenarios.Scenario, error) {
	var all []*scenarios.Scenario
	for _, name := range Names() {
		s, err := Find(name, kinds)
		if err != nil {
			return nil, err
		}
		all = append(all, s)
	}
	return all, nil
}

// Find returns the scenario of a name, or says which name may have been meant.
func Find(name string, kinds []scenarios.Kind) (*scenarios.Scenario, error) {
	text, err := files.ReadFile(name + extension)
	if err != nil {
		return nil, fmt.Errorf("there is no scenario %.60q in the library; %s", name, nearest.Want(name, Names()))
	}
	return scenarios.Parse("library/"+name+extension, text, kinds)
}

// Names returns the names of the scenarios, sorted.
func Names() []string {
	entries, err := files.ReadDir(".")
	if err != nil {
		panic(err) // the folder is in the program
	}
	names := make([]string, len(entries))
	for i, e := range entries {
		names[i] = strings.TrimSuffix(e.Name(), extension)
	}
	return names
}
