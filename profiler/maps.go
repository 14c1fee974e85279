// SPDX-License-Identifier: Apache-2.0

package profiler

import (
	"bufio"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/assaylab/assay/internal/procmap"
)

// mapping is executable memory of a process: [start, end) shows path from byte off on.
type mapping struct {
	start, end, off uint64
	path            string // as the process names it; "" or //anon, [vdso] …: no file
	buildID         string // hexadecimal; "": not known
	inode           uint64 // 0: not known
}

// maxMappings bounds what is kept of one process. It is the kernel's own default limit (vm.max_map_count).
const maxMappings = 65530

// readMaps returns the executable mappings of a process. Those of a process whose leader has ended are
// found with its other threads.
func readMaps(pid int) ([]mapping, error) {
	maps, err := readMapsFile(fmt.Sprintf("/proc/%d/maps", pid))
	if err != nil || len(maps) > 0 {
		return maps, err
	}
	tasks, err := os.ReadDir(fmt.Sprintf("/proc/%d/task", pid))
	if err != nil {
		return nil, err
	}
	for _, t := range tasks {
		if maps, err = readMapsFile(fmt.Sprintf("/proc/%d/task/%s/maps", pid, t.Name())); err == nil && len(maps) > 0 {
			return maps, nil
		}
	}
	return nil, fmt.Errorf("process %d: no executable mappings", pid)
}

// readMapsFile asks by ioctl where the kernel has it, and reads the text otherwise.
func readMapsFile(name string) ([]mapping, error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	maps, err := queryMaps(f)
	if errors.Is(err, unix.ENOTTY) || errors.Is(err, unix.EINVAL) {
		maps, err = parseMaps(f)
	}
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	return maps, nil
}

// queryMaps asks for the executable mappings one by one: no text, and with the build ID.
func queryMaps(f *os.File) ([]mapping, error) {
	var maps []mapping
	reader := procmap.NewReader(f)
	for addr := uint64(0); len(maps) < maxMappings; {
		m, err := reader.Next(addr, procmap.Executable)
		if errors.Is(err, unix.ENOENT) {
			break
		} else if err != nil {
			return nil, err
		}
		if m.End <= addr {
			break
		}
		addr = m.End
		maps = append(maps, mapping{start: m.Start, end: m.End, off: m.Offset, path: m.Name, inode: m.Inode, buildID: hex.EncodeToString(m.BuildID)})
	}
	return maps, nil
}

// parseMaps reads the text of /proc/PID/maps.
func parseMaps(r io.Reader) ([]mapping, error) {
	var maps []mapping
	lines := bufio.NewScanner(r)
	lines.Buffer(make([]byte, 0, 8<<10), 64<<10)
	for lines.Scan() && len(maps) < maxMappings {
		m, executable, err := parseMapsLine(lines.Text())
		if err != nil {
			return nil, err
		}
		if executable {
			maps = append(maps, m)
		}
	}
	return maps, lines.Err()
}

// parseMapsLine reads "start-end perms offset dev inode   path".
func parseMapsLine(line string) (m mapping, executable bool, err error) {
	bad := func() (mapping, bool, error) { return mapping{}, false, fmt.Errorf("maps line %q: malformed", line) }
	span, rest, ok1 := strings.Cut(line, " ")
	perms, rest, ok2 := strings.Cut(rest, " ")
	off, rest, ok3 := strings.Cut(rest, " ")
	_, rest, ok4 := strings.Cut(rest, " ")
	start, end, ok5 := strings.Cut(span, "-")
	if !ok1 || !ok2 || !ok3 || !ok4 || !ok5 || len(perms) < 4 {
		return bad()
	}
	inode, path, _ := strings.Cut(rest, " ")
	var errs [4]error
	m.start, errs[0] = strconv.ParseUint(start, 16, 64)
	m.end, errs[1] = strconv.ParseUint(end, 16, 64)
	m.off, errs[2] = strconv.ParseUint(off, 16, 64)
	m.inode, errs[3] = strconv.ParseUint(inode, 10, 64)
	if errors.Join(errs[:]...) != nil || m.end <= m.start {
		return bad()
	}
	m.path = unescapeOctal(strings.TrimLeft(path, " "))
	return m, perms[2] == 'x', nil
}

// unescapeOctal undoes the kernel's escapes in names: a newline is \012.
func unescapeOctal(s string) string {
	return strings.ReplaceAll(s, `\012`, "\n")
}

// isFile says whether a mapping shows a file, not anonymous memory or a part of the kernel.
func (m *mapping) isFile() bool {
	return strings.HasPrefix(m.path, "/") && !strings.HasPrefix(m.path, "//anon") &&
		!strings.HasPrefix(m.path, "/memfd:") && !strings.HasPrefix(m.path, "/dev/zero") && !strings.HasPrefix(m.path, "/SYSV")
}
