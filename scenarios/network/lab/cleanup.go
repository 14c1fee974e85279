// SPDX-License-Identifier: Apache-2.0

package lab

import (
	"errors"
	"io/fs"
	"os"
	"strconv"

	"golang.org/x/sys/unix"

	"github.com/assaylab/assay/internal/lazyregexp"
)

var spaceName = lazyregexp.New(`^assay-([1-9][0-9]*)-[0-9]+$`)

// CleanUp removes the namespaces of processes that are gone, and with them the links in them, and says how many there were. Several
// processes may do so at once. It goes on after an error, and returns all of them.
//
// A process in a PID namespace that we can't see counts as gone: it loses the names of its spaces, but goes on working in them.
func CleanUp() (removed int, err error) {
	entries, err := os.ReadDir(directory)
	if errors.Is(err, fs.ErrNotExist) {
		return 0, nil
	}
	for _, e := range entries {
		if !isLeftover(e.Name()) {
			continue
		}
		if removeErr := removeName(e.Name()); removeErr != nil {
			err = errors.Join(err, removeErr)
			continue
		}
		removed++
	}
	return removed, err
}

// isLeftover says whether a name is of a space whose process is gone.
func isLeftover(name string) bool {
	match := spaceName().FindStringSubmatch(name)
	if match == nil {
		return false
	}
	pid, err := strconv.Atoi(match[1])
	return err == nil && errors.Is(unix.Kill(pid, 0), unix.ESRCH)
}
