// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"time"
)

// machine is how qemu emulates an architecture. Emulated, not virtualised: the matrix asks what works, never how fast, and
// runs where /dev/kvm is missing.
type machine struct {
	qemu    []string
	console string
	// noIRQTime is the parameter that keeps the kernel from taking interrupts off the CPU time of the threads that they come upon. Under
	// emulation they take 0.2 ms, and the truth program, which has only its CPU time to go by, would take that for a wait.
	noIRQTime string
}

var machines = map[string]machine{
	"amd64": {[]string{"qemu-system-x86_64", "-cpu", "max"}, "ttyS0", "tsc=noirqtime"},
	"arm64": {[]string{"qemu-system-aarch64", "-machine", "virt", "-cpu", "max,pauth-impdef=on"}, "ttyAMA0", "irqtime=0"},
}

// bootLimit ends a guest that hangs. A healthy one needs well under two minutes.
const bootLimit = 4 * time.Minute

// boot runs a kernel with an initramfs until it reboots, panics or takes too long, and leaves its serial console's output in log.
func (m machine) boot(ctx context.Context, kernel, initramfs, log string) error {
	ctx, cancel := context.WithTimeout(ctx, bootLimit)
	defer cancel()
	out, err := os.Create(log)
	if err != nil {
		return err
	}
	args := append(m.qemu[1:len(m.qemu):len(m.qemu)],
		// One host thread for both CPUs: with two, emulated x86 can miss that another CPU has patched its code, and dies of
		// the int3 that patching leaves for a moment (seen in __schedule when a tracepoint goes on).
		"-accel", "tcg,thread=single", "-smp", "2", "-m", "1536", "-nodefaults", "-no-reboot", "-display", "none", "-serial", "stdio",
		"-kernel", kernel, "-initrd", initramfs, "-append", "console="+m.console+" "+m.noIRQTime+" loglevel=3 panic=-1")
	cmd := exec.CommandContext(ctx, m.qemu[0], args...)
	cmd.Stdout, cmd.Stderr = out, out
	err = errors.Join(cmd.Run(), out.Close())
	if ctx.Err() != nil {
		return fmt.Errorf("guest still running after %s", bootLimit)
	}
	return err
}
