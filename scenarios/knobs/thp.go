// SPDX-License-Identifier: Apache-2.0

package knobs

import (
	"fmt"
	"slices"
	"strings"

	"github.com/assaylab/assay/scenarios/internal/nearest"
)

// thpKind is transparent huge pages (Documentation/admin-guide/mm/transhuge.rst): files with all words that are allowed, and the one that
// is set in brackets.
var thpKind = kind{
	name: "thp",
	checkName: func(name string) (string, error) {
		files := []string{"enabled", "defrag", "shmem_enabled"}
		if !slices.Contains(files, name) {
			return "", fmt.Errorf("there is no such file; %s", nearest.Want(name, files))
		}
		return name, nil
	},
	checkValue: func(_, value string) (string, error) { return value, nil },
	check: func(_ place, name, value string) error {
		if err := thp.check(name); err != nil {
			return err
		}
		words, err := thp.read(name)
		allowed := strings.Fields(strings.NewReplacer("[", "", "]", "").Replace(words))
		if err == nil && !slices.Contains(allowed, value) {
			return fmt.Errorf("value %s: want one of %s", value, strings.Join(allowed, ", "))
		}
		return err
	},
	read: func(_ place, name string) (string, error) {
		words, err := thp.read(name)
		if err != nil {
			return "", err
		}
		_, rest, _ := strings.Cut(words, "[")
		value, _, ok := strings.Cut(rest, "]")
		if !ok {
			return "", fmt.Errorf("no value in %q is marked as set", words)
		}
		return value, nil
	},
	write: func(_ place, name, value string) error { return thp.write(name, value) },
}

const thp tree = "/sys/kernel/mm/transparent_hugepage"
