// SPDX-License-Identifier: Apache-2.0

package main

import (
	"embed"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"
)

//go:embed loads/*.c
var sources embed.FS

// A lab has what all benchmarks need: assay, the loads, and a folder for what is recorded.
type lab struct {
	*settings
	dir string
}

// How the loads are compiled. They keep frame pointers, and their recursion stays a recursion.
var (
	loadFlags  = []string{"-O1", "-g", "-fno-omit-frame-pointer", "-fno-optimize-sibling-calls", "-pthread"}
	extraFlags = map[string][]string{
		// Started thousands of times a second, so it needs to be quick to start.
		"tiny":     {"-static"},
		"over20ms": {"-static"},
		// Mappings are what memory is spent on.
		"crowd": {"-Wl,--no-as-needed", "-lm", "-lresolv", "-lanl", "-lcrypt"},
	}
)

// newLab builds assay and the loads, and mounts tracefs, which perf and bpftrace need.
func newLab(s *settings) (*lab, error) {
	dir, err := os.MkdirTemp("", "assay-peers-")
	if err != nil {
		return nil, err
	}
	l := &lab{s, dir}
	if err := l.furnish(); err != nil {
		return nil, errors.Join(err, os.RemoveAll(dir))
	}
	return l, nil
}

func (l *lab) furnish() error {
	if os.Geteuid() != 0 {
		return errors.New("not root: perf, bpftrace and assay want to record the whole machine")
	}
	if err := mountTracefs(); err != nil {
		return err
	}
	if err := l.compile(); err != nil {
		return err
	}
	if l.assay != "" {
		return nil
	}
	l.assay = l.path("assay")
	return command("go", "build", "-o", l.assay, "github.com/assaylab/assay/cmd/assay")
}

const tracefs = "/sys/kernel/tracing"

func mountTracefs() error {
	if _, err := os.Stat(tracefs + "/events"); err == nil {
		return nil
	}
	if err := unix.Mount("tracefs", tracefs, "tracefs", 0, ""); err != nil {
		return fmt.Errorf("mount %s: %w", tracefs, err)
	}
	return nil
}

// compile makes a program of each source, with its name.
func (l *lab) compile() error {
	if err := os.CopyFS(l.dir, sources); err != nil {
		return err
	}
	files, err := filepath.Glob(l.path("loads/*.c"))
	if err != nil {
		return err
	}
	for _, file := range files {
		name := strings.TrimSuffix(filepath.Base(file), ".c")
		args := append(append([]string{}, loadFlags...), "-o", l.path(name), file)
		if err := command("gcc", append(args, extraFlags[name]...)...); err != nil {
			return err
		}
	}
	return nil
}

// path is where a file of the lab lies.
func (l *lab) path(name string) string { return filepath.Join(l.dir, name) }

func command(name string, args ...string) error {
	if out, err := exec.Command(name, args...).CombinedOutput(); err != nil {
		return fmt.Errorf("%s: %w: %s", name, err, out)
	}
	return nil
}
