// SPDX-License-Identifier: Apache-2.0

package elfx

import (
	"errors"
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

// OpenRegular opens a file by a name that a hostile process may have chosen. It never waits for one: a pipe or a device under the name is refused.
func OpenRegular(name string) (*os.File, error) {
	f, err := os.OpenFile(name, os.O_RDONLY|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, err
	}
	if st, err := f.Stat(); err != nil || !st.Mode().IsRegular() {
		return nil, errors.Join(fmt.Errorf("%s: not a regular file", name), f.Close())
	}
	return f, nil
}
