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

	"github.com/assaylab/assay/internal/atomicfile"
)

// module is the prefix of our import paths.
const module = "github.com/assaylab/assay/"

// programs are compiled for the guest; each is known there by the last part of its path, under /bin.
var programs = []string{"ci/kernels/guest"}

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
	return atomicfile.Write(initramfs, 0o644, func(w io.Writer) error {
		buffered := bufio.NewWriter(w)
		if err := fill(newArchive(buffered), bin); err != nil {
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

// fill packs what the guest finds when it boots: its first process, a console to write to, and the programs.
func fill(a *archive, bin string) error {
	if err := a.addFile("init", filepath.Join(bin, "guest")); err != nil {
		return err
	}
	if err := a.addDevice("dev/console", 5, 1); err != nil {
		return err
	}
	for _, program := range programs[1:] {
		name := filepath.Base(program)
		if err := a.addFile("bin/"+name, filepath.Join(bin, name)); err != nil {
			return err
		}
	}
	return a.close()
}
