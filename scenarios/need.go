// SPDX-License-Identifier: Apache-2.0

package scenarios

import (
	"cmp"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
)

// Need is something that a kind can't do without: root, or a program by its name.
type Need string

// NeedRoot is CAP_NET_ADMIN and the like.
const NeedRoot Need = "root"

// packages are the Debian packages that have a program, where they aren't called like it.
var packages = map[Need]string{"nginx": "nginx-light", "redis-server": "redis-server", "postgres": "postgresql", "initdb": "postgresql"}

// folders are where programs may lie that PATH doesn't lead to; of several versions the newest counts.
var folders = []string{"/usr/sbin", "/usr/local/sbin", "/usr/lib/postgresql/*/bin", "/usr/pgsql-*/bin"}

// Program returns the path of a program.
func (n Need) Program() (string, error) {
	if path, err := exec.LookPath(string(n)); err == nil {
		return filepath.Abs(path)
	}
	for _, folder := range folders {
		found, err := filepath.Glob(filepath.Join(folder, string(n)))
		if err != nil {
			return "", err
		}
		slices.SortFunc(found, func(a, b string) int { return cmp.Or(len(a)-len(b), cmp.Compare(a, b)) })
		if len(found) > 0 {
			return found[len(found)-1], nil
		}
	}
	return "", fmt.Errorf("%s is not installed: apt install %s", n, cmp.Or(packages[n], string(n)))
}

// Lacks says in a line what the first need of a kind is that isn't there, and what to do; nil if all are.
func (k *Kind) Lacks() error {
	for _, n := range k.Needs {
		if n == NeedRoot {
			if os.Geteuid() != 0 {
				return fmt.Errorf("%s needs root", k.Name)
			}
		} else if _, err := n.Program(); err != nil {
			return fmt.Errorf("%s: %w", k.Name, err)
		}
	}
	return nil
}
