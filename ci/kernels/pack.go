// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"github.com/assaylab/assay/internal/atomicfile"
)

// module is the prefix of our import paths.
const module = "github.com/assaylab/assay/"

// programs are compiled for the guest without C; each is known there by the last part of its path, under /bin. The first is its first process.
var programs = []string{"ci/kernels/guest", "cmd/assay", "ci/kernels/truth"}

// foreign is the architecture on which nothing but the matrix runs assay, so that CPython and programs of Go with C in them are tried there,
// too.
const foreign = "arm64"

// truthWithC are the ways to link the truth program with C, each of which has the thread-local variables of Go elsewhere, by the name that it
// has in the guest under /bin.
var truthWithC = map[string]string{
	"truth-dynamic": "-s -w",
	"truth-static":  "-extldflags=-static",
}

// script is the program for CPython, from internal/truth, for the guest under /scripts.
const script = "split.py"

// objectNames are the eBPF objects for an architecture, as bpf2go calls them.
var objectNames = map[string]string{"amd64": "*_x86_bpfel.o", "arm64": "*_arm64_bpfel.o"}

// pack compiles the programs for an architecture and writes an initramfs of them.
func pack(ctx context.Context, packages *debian, initramfs, arch string) (err error) {
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
	files, err := findFiles(ctx, bin, arch)
	if err != nil {
		return err
	}
	if arch == foreign {
		if err := addForeign(ctx, packages, bin, files); err != nil {
			return err
		}
	}
	return atomicfile.Write(initramfs, 0o644, func(w io.Writer) error {
		buffered := bufio.NewWriter(w)
		if err := fill(newArchive(buffered), files); err != nil {
			return err
		}
		return buffered.Flush()
	})
}

// compile puts static programs into the folder bin.
func compile(ctx context.Context, bin, arch string) error {
	args := []string{"-o", bin + "/"}
	for _, program := range programs {
		args = append(args, module+program)
	}
	return goBuild(ctx, arch, "CGO_ENABLED=0", args...)
}

// compileWithC puts programs of Go and C into the folder bin.
func compileWithC(ctx context.Context, bin string) error {
	for name, flags := range truthWithC {
		if err := goBuild(ctx, foreign, "CGO_ENABLED=1", "-ldflags="+flags, "-o", filepath.Join(bin, name), module+"ci/kernels/truth"); err != nil {
			return err
		}
	}
	return nil
}

func goBuild(ctx context.Context, arch, cgo string, args ...string) error {
	build := exec.CommandContext(ctx, "go", append([]string{"build"}, args...)...)
	build.Env = append(os.Environ(), cgo, "CC="+compilers[arch], "GOOS=linux", "GOARCH="+arch)
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

// findFiles returns the files that the guest finds when it boots, each under its name there: its first process, programs and eBPF objects.
func findFiles(ctx context.Context, bin, arch string) (map[string]string, error) {
	objects, err := findObjects(ctx, arch)
	if err != nil {
		return nil, err
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
	return files, nil
}

// addForeign compiles, and adds to the files, what only the foreign architecture gets.
func addForeign(ctx context.Context, packages *debian, bin string, files map[string]string) error {
	if err := compileWithC(ctx, bin); err != nil {
		return err
	}
	for name := range truthWithC {
		files["bin/"+name] = filepath.Join(bin, name)
	}
	python, err := findPython(ctx, packages)
	if err != nil {
		return err
	}
	maps.Copy(files, python)
	truth, err := folderOf(ctx, "internal/truth")
	files["scripts/"+script] = filepath.Join(truth, "testdata", script)
	return err
}

// fill packs files, and a console to write to.
func fill(a *archive, files map[string]string) error {
	if err := a.addDevice("dev/console", 5, 1); err != nil {
		return err
	}
	for name, file := range files {
		if err := a.addFile(name, file); err != nil {
			return err
		}
	}
	return a.close()
}
