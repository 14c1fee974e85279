// SPDX-License-Identifier: Apache-2.0

package python

import (
	"encoding/binary"
	"fmt"
	"io"

	"golang.org/x/sys/unix"
)

// Memory reads the memory of a process: p is filled from an address on, or there is an error.
type Memory interface {
	Read(p []byte, addr uint64) error
}

// Process is the memory of a process of this PID. Reading needs CAP_SYS_PTRACE, or a process of one's own.
type Process int

// Read reads with one system call (process_vm_readv).
func (pid Process) Read(p []byte, addr uint64) error {
	if len(p) == 0 {
		return nil
	}
	local := []unix.Iovec{{Base: &p[0]}}
	local[0].SetLen(len(p))
	n, err := unix.ProcessVMReadv(int(pid), local, []unix.RemoteIovec{{Base: uintptr(addr), Len: len(p)}}, 0)
	if err == nil && n < len(p) {
		err = io.ErrUnexpectedEOF
	}
	if err != nil {
		return fmt.Errorf("memory of process %d at %#x: %w", int(pid), addr, err)
	}
	return nil
}

func readWord(mem Memory, addr uint64) (uint64, error) {
	var b [8]byte
	err := mem.Read(b[:], addr)
	return binary.LittleEndian.Uint64(b[:]), err
}

func readInt32(mem Memory, addr uint64) (int32, error) {
	var b [4]byte
	err := mem.Read(b[:], addr)
	return int32(binary.LittleEndian.Uint32(b[:])), err
}
