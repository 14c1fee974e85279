// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"github.com/assaylab/assay/internal/atomicfile"
)

// module is the prefix of our import paths.
const module = "github.com/assaylab/assay/"

// programs are compiled for the guest; each is known there by the last part of its path, under /bin. The first is its first process.
var programs = []string{"ci/kernels/guest", "cmd/assay", "ci/kernels/truth"}

// objectNames are the eBPF objects for an architecture, as bpf2go calls them.
var objectNames = map[string]string{"amd64": "*_x86_bpfel.o", "arm64": "*_arm64_bpfel.o"}

// pack compiles the programs for an architecture and writes an initramfs of them.
func pack(ctx context.Context, initramfs, arch string) (err error) {
	bin, err := os.MkdirTemp("", "assay-kernels-")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(bin)) }()
	if err := compile(ctx, bin, arch); err != nil {
		return err
	}
	if err := compileStacks(ctx, bin, arch); err != nil {
		return err
	}
	objects, err := findObjects(ctx, arch)
	if err != nil {
		return err
	}
	return atomicfile.Write(initramfs, 0o644, func(w io.Writer) error {
		buffered := bufio.NewWriter(w)
		if err := fill(newArchive(buffered), bin, objects); err != nil {
			return err
		}
		return buffered.Flush()
	})
}

// compile puts static programs into the folder bin.
func compile(ctx context.Context, bin, arch string) error {
	args := []string{"build", "-o", bin + "/"}
	for _, program := range programs {
		args = append(args, module+program)
	}
	build := exec.CommandContext(ctx, "go", args...)
	build.Env = append(os.Environ(), "CGO_ENABLED=0", "GOOS=linux", "GOARCH="+arch)
	build.Stderr = os.Stderr
	if err := build.Run(); err != nil {
		return fmt.Errorf("go build for %s: %w", arch, err)
	}
	return nil
}

// findObjects returns the files of the eBPF objects that assay carries.
func findObjects(ctx context.Context, arch string) ([]string, error) {
	dir, err := folderOf(ctx, "bpf")
	if err != nil {
		return nil, err
	}
	return filepath.Glob(filepath.Join(dir, objectNames[arch]))
}

// folderOf returns the folder of one of our packages.
func folderOf(ctx context.Context, name string) (string, error) {
	dir, err := exec.CommandContext(ctx, "go", "list", "-f", "{{.Dir}}", module+name).Output()
	if err != nil {
		return "", fmt.Errorf("go list %s: %w", name, err)
	}
	return strings.TrimSpace(string(dir)), nil
}

// fill packs what the guest finds when it boots: its first process, a console to write to, the programs and the eBPF objects.
func fill(a *archive, bin string, objects []string) error {
	if err := a.addDevice("dev/console", 5, 1); err != nil {
		return err
	}
	files := map[string]string{"init": filepath.Join(bin, filepath.Base(programs[0]))}
	for _, program := range programs[1:] {
		name := filepath.Base(program)
		files["bin/"+name] = filepath.Join(bin, name)
	}
	for _, s := range stacks {
		files["stacks/"+s.name] = filepath.Join(bin, s.name)
	}
	for _, object := range objects {
		files["objects/"+filepath.Base(object)] = object
	}
	for name, file := range files {
		if err := a.addFile(name, file); err != nil {
			return err
		}
	}
	return a.close()
}
