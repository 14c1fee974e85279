// SPDX-License-Identifier: Apache-2.0

// Command guest is the first process of a kernel under test. It mounts what a profiler looks at, runs the checks one after the other,
// tells the host over the console how each went, and restarts the machine, which ends the emulator.
package main

import (
	"fmt"
	"os"
	"runtime"

	"golang.org/x/sys/unix"

	"github.com/assaylab/assay/ci/kernels/report"
)

func main() {
	if err := run(); err != nil {
		fmt.Println("guest:", err)
	}
	// Where this fails, PID 1 ends, the kernel panics, and that ends the emulator too.
	if err := unix.Reboot(unix.LINUX_REBOOT_CMD_RESTART); err != nil {
		fmt.Println("guest: reboot:", err)
	}
}

// run mounts, checks and reports.
func run() error {
	for _, m := range mounts {
		if err := m.mount(); err != nil {
			return err
		}
	}
	for _, c := range append(checks, foreignChecks[runtime.GOARCH]...) {
		if err := report.Write(os.Stdout, c.result()); err != nil {
			return err
		}
	}
	return report.Write(os.Stdout, report.Result{})
}

// mounts are the file systems of an ordinary machine that a profiler reads.
var mounts = []mount{
	{"proc", "/proc"},
	{"sysfs", "/sys"},
	{"devtmpfs", "/dev"},
	{"tmpfs", "/tmp"},
	{"tracefs", "/sys/kernel/tracing"},
	{"bpf", "/sys/fs/bpf"},
	{"cgroup2", "/sys/fs/cgroup"},
}

type mount struct {
	kind, folder string
}

func (m mount) mount() error {
	if err := os.MkdirAll(m.folder, 0o755); err != nil {
		return err
	}
	if err := unix.Mount(m.kind, m.folder, m.kind, 0, ""); err != nil {
		return fmt.Errorf("mount %s: %w", m.folder, err)
	}
	return nil
}
