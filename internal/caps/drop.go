// SPDX-License-Identifier: Apache-2.0

package caps

import (
	"errors"
	"fmt"
	"runtime"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// ErrThreads means that the program is linked with C code (cgo, -race): then
// only the C library knows all threads, and a capability given up by the
// others would stay with those. Build with CGO_ENABLED=0.
var ErrThreads = errors.New("capabilities can't be dropped on all threads of a program with C code")

// Drop gives up for good, on every thread, all capabilities but those in keep.
// What the program did not have it does not get. The inheritable and ambient
// sets become empty. The bounding set stays, so that a command that root
// starts later has what it would have without us.
//
// The error is ErrThreads in a program with C code; then nothing has changed.
func Drop(keep ...Cap) error {
	permitted, err := Permitted()
	if err != nil {
		return err
	}
	rest := permitted & Of(keep...)
	low, high := uint32(rest), uint32(rest>>32)
	data := halves{{Effective: low, Permitted: low}, {Effective: high, Permitted: high}}

	h := header()
	_, _, errno := syscall.AllThreadsSyscall(unix.SYS_CAPSET, uintptr(unsafe.Pointer(h)), uintptr(unsafe.Pointer(&data[0])), 0)
	runtime.KeepAlive(h)
	runtime.KeepAlive(&data)
	switch errno {
	case 0:
		return nil
	case syscall.ENOTSUP:
		return ErrThreads
	}
	return fmt.Errorf("capset: %w", errno)
}
