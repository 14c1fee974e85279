// SPDX-License-Identifier: Apache-2.0

package doctor

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"

	"github.com/assaylab/assay/internal/caps"
	"github.com/assaylab/assay/internal/procmap"
)

var reachRows = []row{
	{
		group: "reach", name: "mappings of own processes", need: Core,
		look:  func(*host) finding { return tried("/proc/self/maps is readable", ReadMaps(os.Getpid())) },
		costs: "no frames of programs are named",
		fix:   "mount /proc: sudo mount -t proc proc /proc",
	},
	{
		group: "reach", name: "mappings of all processes", need: Adds, look: lookMappings,
		costs: "processes whose mappings can't be read keep bare addresses",
		wants: caps.Of(caps.SysPtrace), fix: refused,
	},
	{
		group: "reach", name: "deleted files", need: Adds,
		look:  func(*host) finding { return tried("/proc/self/map_files opens", OpenMapFile(os.Getpid())) },
		costs: "libraries that were deleted or replaced keep bare addresses",
		wants: caps.Of(caps.CheckpointRestore), fix: refused,
	},
	{
		group: "reach", name: "PROCMAP_QUERY", need: Adds,
		look:  func(*host) finding { return tried("answers for our own program", QueryMapping()) },
		costs: "mappings are read as whole texts, slower for processes with many",
		fix:   "boot a kernel from 6.11 on",
	},
	{
		group: "reach", name: "kernel addresses", need: Adds,
		look:  func(*host) finding { return tried("/proc/kallsyms shows them", KernelAddresses()) },
		costs: "frames of kernel modules can't be told from the kernel's own",
		wants: caps.Of(caps.Syslog), fix: "sudo sysctl kernel.kptr_restrict=1",
	},
}

func procPath(pid int, name string) string { return fmt.Sprintf("/proc/%d/%s", pid, name) }

// readStart reads the first byte of a file, as some files of /proc open for
// everyone and refuse only then.
func readStart(path string) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	if _, err := f.Read(make([]byte, 1)); err != nil && !errors.Is(err, io.EOF) {
		return err
	}
	return nil
}

// ReadMaps tries to read which files a process has mapped.
func ReadMaps(pid int) error { return readStart(procPath(pid, "maps")) }

// OpenProgramFile tries to read the file of the program that a process runs: the file itself, which wants CAP_SYS_PTRACE, or else
// by the name that its mappings give, which leads to it only in our own mount namespace.
func OpenProgramFile(pid int) error {
	err := readStart(procPath(pid, "exe"))
	if err == nil {
		return nil
	}
	maps, merr := os.ReadFile(procPath(pid, "maps"))
	if merr != nil {
		return err
	}
	line, _, _ := strings.Cut(string(maps), "\n")
	if slash := strings.IndexByte(line, '/'); slash >= 0 {
		return readStart(line[slash:])
	}
	return err
}

// OpenMapFile tries to open one of the files that a process has mapped by way
// of the mapping, as one must where the file has lost its name.
func OpenMapFile(pid int) error {
	dir := procPath(pid, "map_files")
	folder, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer folder.Close()
	names, err := folder.Readdirnames(1)
	if err != nil {
		return fmt.Errorf("%s: %w", dir, err)
	}
	return readStart(dir + "/" + names[0])
}

// maxLooks bounds how many processes lookMappings tries.
const maxLooks = 4096

// lookMappings tries the mappings of each process, as who may read which
// depends on users, capabilities and security modules.
func lookMappings(h *host) finding {
	entries, err := os.ReadDir(h.path("/proc"))
	if err != nil {
		return unknown(err)
	}
	var readable int
	var refused []int
	for _, e := range entries {
		pid, err := strconv.Atoi(e.Name())
		if err != nil || readable+len(refused) >= maxLooks {
			continue
		}
		switch err := readStart(h.path(procPath(pid, "maps"))); {
		case err == nil:
			readable++
		case errors.Is(err, os.ErrPermission):
			refused = append(refused, pid)
		} // any other error: the process has ended
	}
	if len(refused) == 0 {
		return finding{status: OK, found: fmt.Sprintf("all %d processes are readable", readable)}
	}
	return finding{
		status: Degraded,
		found:  fmt.Sprintf("not readable for %d of %d processes, first PID %d", len(refused), readable+len(refused), refused[0]),
	}
}

// errHidden means that the kernel's addresses read as zeros.
var errHidden = errors.New("/proc/kallsyms shows zeros for addresses")

// KernelAddresses tells, by no error, that we are shown where in memory the
// kernel's functions are.
func KernelAddresses() error {
	f, err := os.Open("/proc/kallsyms")
	if err != nil {
		return err
	}
	defer f.Close()
	start, err := io.ReadAll(io.LimitReader(f, 64<<10))
	if err != nil {
		return err
	}
	for line := range bytes.Lines(start) {
		address, _, _ := bytes.Cut(line, []byte(" "))
		if len(bytes.Trim(address, "0")) > 0 {
			return nil
		}
	}
	return errHidden
}

// QueryMapping asks the kernel for one of our mappings in its binary form
// (kernel 6.11+).
func QueryMapping() error {
	f, err := os.Open("/proc/self/maps")
	if err != nil {
		return err
	}
	defer f.Close()
	m, err := procmap.NewReader(f).Next(0, 0)
	if err != nil {
		return err
	}
	if m.End <= m.Start {
		return errors.New("ioctl PROCMAP_QUERY: empty answer")
	}
	return nil
}
