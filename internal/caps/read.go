// SPDX-License-Identifier: Apache-2.0

package caps

import (
	"errors"
	"fmt"

	"golang.org/x/sys/unix"
)

// halves is the form in which capget(2) and capset(2) pass the sets: the low
// 32 capabilities, then the others.
type halves [2]unix.CapUserData

func header() *unix.CapUserHeader {
	return &unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
}

func join(low, high uint32) Set { return Set(high)<<32 | Set(low) }

func get() (*halves, error) {
	var data halves
	if err := unix.Capget(header(), &data[0]); err != nil {
		return nil, fmt.Errorf("capget: %w", err)
	}
	return &data, nil
}

// Effective is what the kernel grants the calling thread now.
func Effective() (Set, error) {
	data, err := get()
	if err != nil {
		return 0, err
	}
	return join(data[0].Effective, data[1].Effective), nil
}

// Permitted is what the calling thread may make effective.
func Permitted() (Set, error) {
	data, err := get()
	if err != nil {
		return 0, err
	}
	return join(data[0].Permitted, data[1].Permitted), nil
}

// Bounding is what a program that the calling thread executes can get at most,
// be it root or have file capabilities.
func Bounding() (Set, error) {
	var s Set
	for c := Cap(0); c < 64; c++ {
		in, err := unix.PrctlRetInt(unix.PR_CAPBSET_READ, uintptr(c), 0, 0, 0)
		if errors.Is(err, unix.EINVAL) { // past the last capability of this kernel
			break
		}
		if err != nil {
			return 0, fmt.Errorf("bounding set, %s: %w", c, err)
		}
		if in == 1 {
			s |= Of(c)
		}
	}
	return s, nil
}
