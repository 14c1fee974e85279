// SPDX-License-Identifier: Apache-2.0

package doctor

import (
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/assaylab/assay/internal/caps"
)

// host is the machine as the checks see it. Tests put a folder of theirs in
// the place of the root directory.
type host struct {
	root       string // in front of each path
	release    string
	machine    string
	uid        int
	effective  caps.Set // those that count: none in a user namespace of our own
	bounding   caps.Set
	executable string
	// opensEvents tries to open events of whole CPUs.
	opensEvents func() error
}

// thisHost is the machine that we run on.
func thisHost() (*host, error) {
	var name unix.Utsname
	if err := unix.Uname(&name); err != nil {
		return nil, fmt.Errorf("uname: %w", err)
	}
	effective, err := caps.Effective()
	if err != nil {
		return nil, err
	}
	bounding, err := caps.Bounding()
	if err != nil {
		return nil, err
	}
	executable, err := os.Executable()
	if err != nil {
		return nil, err
	}
	h := &host{
		release:    unix.ByteSliceToString(name.Release[:]),
		machine:    unix.ByteSliceToString(name.Machine[:]),
		uid:        os.Geteuid(),
		effective:  effective,
		bounding:   bounding,
		executable: executable,

		opensEvents: CPUClockEvents,
	}
	if h.ownUserNamespace() {
		h.effective = 0
	}
	return h, nil
}

func (h *host) path(p string) string { return filepath.Join(h.root, p) }

// maxText bounds what is read of a file in /proc or /sys, in bytes.
const maxText = 1 << 20

// read returns the text of a file, without the white space around it.
func (h *host) read(path string) (string, error) {
	f, err := os.Open(h.path(path))
	if err != nil {
		return "", err
	}
	defer f.Close()
	text, err := io.ReadAll(io.LimitReader(f, maxText))
	if err != nil {
		return "", err
	}
	return strings.TrimSpace(string(text)), nil
}

// number reads a file that holds one whole number.
func (h *host) number(path string) (int, error) {
	text, err := h.read(path)
	if err != nil {
		return 0, err
	}
	n, err := strconv.Atoi(text)
	if err != nil {
		return 0, fmt.Errorf("%s: %w", path, err)
	}
	return n, nil
}

// The inode numbers that the kernel gives the namespaces it starts with
// (include/uapi/linux/nsfs.h).
const (
	initialUserNamespace = "user:[4026531837]"
	initialPIDNamespace  = "pid:[4026531836]"
)

// ownUserNamespace says that our capabilities hold in a user namespace of our
// own only. Where the kernel has no user namespaces there is no such link.
func (h *host) ownUserNamespace() bool {
	link, err := os.Readlink(h.path("/proc/self/ns/user"))
	return err == nil && link != initialUserNamespace
}

// debianRestricts says that the kernel is built by Debian or Ubuntu, whose
// patch refuses perf events at a paranoid level above 2 to all but
// CAP_SYS_ADMIN.
func (h *host) debianRestricts() bool {
	version, err := h.read("/proc/version")
	return err == nil && (strings.Contains(version, "Debian") || strings.Contains(version, "Ubuntu"))
}

// env gathers what Predict wants to know. A setting that can't be read counts
// as the kernel's default.
func (h *host) env() Env {
	_, noBTF := os.Stat(h.path(btfPath))
	release, err := parseRelease(h.release)
	return Env{
		HasBTF:           noBTF == nil,
		PerfmonReadsMaps: err == nil && !release.less(perfmonReadsMaps),
		UserNamespace:    h.ownUserNamespace(),
		PerfParanoid:     h.setting("perf_event_paranoid", 2),
		ParanoidByDebian: h.debianRestricts(),
		KptrRestrict:     h.setting("kptr_restrict", 0),
	}
}

func (h *host) setting(name string, otherwise int) int {
	n, err := h.number("/proc/sys/kernel/" + name)
	if err != nil {
		return otherwise
	}
	return n
}
