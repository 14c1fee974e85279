// SPDX-License-Identifier: Apache-2.0

package profiler

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"

	"golang.org/x/sys/unix"

	"github.com/assaylab/assay/internal/elfx"
	"github.com/assaylab/assay/profiler/internal/target"
)

// kernelName is what the tools of the field call the kernel's own mapping.
const kernelName = "[kernel.kallsyms]"

// module is kernel code that was loaded: [start, end).
type module struct {
	name       string
	start, end uint64
}

// readModules lists the modules by address. Hidden addresses read as 0: such modules are left out, and
// their frames count as the kernel's own.
func readModules() ([]module, error) {
	b, err := os.ReadFile("/proc/modules")
	if os.IsNotExist(err) {
		return nil, nil // a kernel without modules
	} else if err != nil {
		return nil, fmt.Errorf("kernel modules can't be told from the kernel: %w", err)
	}
	var all []module
	for _, line := range strings.Split(string(b), "\n") {
		// name size refcount users state address
		f := strings.Fields(line)
		if len(f) < 6 {
			continue
		}
		size, err1 := strconv.ParseUint(f[1], 10, 64)
		start, err2 := strconv.ParseUint(strings.TrimPrefix(f[5], "0x"), 16, 64)
		if err1 == nil && err2 == nil && start != 0 {
			all = append(all, module{"[" + f[0] + "]", start, start + size})
		}
	}
	slices.SortFunc(all, func(a, b module) int { return cmp.Compare(a.start, b.start) })
	return all, nil
}

func findModule(modules []module, addr uint64) module {
	for _, m := range modules {
		if addr >= m.start && addr < m.end {
			return m
		}
	}
	return module{kernelName, 1 << 63, ^uint64(0)}
}

// kernelBuildID is the running kernel's, "" when it can't be read.
var kernelBuildID = sync.OnceValue(func() string {
	b, err := os.ReadFile("/sys/kernel/notes")
	if err != nil {
		return ""
	}
	return elfx.BuildIDOfNotes(b)
})

// vdsoName is what /proc/PID/maps calls the vdso.
const vdsoName = "[vdso]"

const maxVdso = 1 << 20

// vdso is the kernel's library in every process, read from our own memory: all processes of our kind see the same.
func vdso() (*OpenFile, error) {
	maps, err := readMaps(os.Getpid())
	if err != nil {
		return nil, err
	}
	for _, m := range maps {
		if m.path == vdsoName {
			image := make([]byte, min(m.end-m.start, maxVdso))
			n, err := unix.ProcessVMReadv(os.Getpid(), []unix.Iovec{{Base: &image[0], Len: uint64(len(image))}},
				[]unix.RemoteIovec{{Base: uintptr(m.start), Len: len(image)}}, 0)
			if err != nil {
				return nil, fmt.Errorf("vdso: %w", err)
			}
			return &OpenFile{bytes.NewReader(image[:n]), int64(n)}, nil
		}
	}
	return nil, fmt.Errorf("vdso: %w", os.ErrNotExist)
}

// openPerfMap opens /tmp/perf-PID.map below the root of the process that o's memory belongs to.
func (o *object) openPerfMap() (*os.File, error) {
	names := []int{o.pid}
	if b, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", o.pid)); err == nil {
		if f := strings.Fields(target.StatusField(b, "NSpid")); len(f) > 1 {
			if inner, err := strconv.Atoi(f[len(f)-1]); err == nil {
				names = []int{inner, o.pid}
			}
		}
	}
	var err error
	for _, pid := range names {
		var f *os.File
		if f, err = openBelow(o.root, fmt.Sprintf("tmp/perf-%d.map", pid)); err == nil {
			return f, nil
		}
	}
	return nil, err
}

// openBelow opens a regular file under a folder, whose symbolic links can't lead out of it.
func openBelow(root *os.File, name string) (*os.File, error) {
	fd, err := unix.Openat2(int(root.Fd()), name, &unix.OpenHow{
		Flags: unix.O_RDONLY | unix.O_NONBLOCK | unix.O_CLOEXEC, Resolve: unix.RESOLVE_IN_ROOT | unix.RESOLVE_NO_MAGICLINKS,
	})
	if err != nil {
		return nil, fmt.Errorf("/%s: %w", name, err)
	}
	f := os.NewFile(uintptr(fd), name)
	if st, err := f.Stat(); err != nil || !st.Mode().IsRegular() {
		return nil, errors.Join(fmt.Errorf("/%s: not a regular file", name), f.Close())
	}
	return f, nil
}
