// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// stacks are programs of bench/stacks whose stacks are hard to walk, for the guest under /stacks; static, since the guest has no libraries.
// What comes before the first dash of a name is the source.
var stacks = []struct {
	name  string
	flags string
	arm64 string // flags there beside
}{
	{"deep", "-O2 -fomit-frame-pointer", ""},
	{"deep-pointers", "-O2 -fno-omit-frame-pointer", ""},
	{"deep-signed", "-O2 -fomit-frame-pointer", "-mbranch-protection=standard"}, // return addresses signed by pointer authentication
	{"signals", "-O2 -fomit-frame-pointer", "-mbranch-protection=standard"},
	{"forced", "-O2 -fomit-frame-pointer -fexceptions", "-mbranch-protection=standard"},
}

// compilers make programs of C for an architecture.
var compilers = map[string]string{"amd64": "gcc", "arm64": "aarch64-linux-gnu-gcc"}

// compileStacks puts the programs of stacks into the folder bin.
func compileStacks(ctx context.Context, bin, arch string) error {
	dir, err := folderOf(ctx, "bench/stacks")
	if err != nil {
		return err
	}
	for _, s := range stacks {
		source, _, _ := strings.Cut(s.name, "-")
		args := append(strings.Fields(s.flags), "-static", "-o", filepath.Join(bin, s.name), filepath.Join(dir, "programs", source+".c"))
		if arch == "arm64" {
			args = append(strings.Fields(s.arm64), args...)
		}
		build := exec.CommandContext(ctx, compilers[arch], args...)
		build.Stderr = os.Stderr
		if err := build.Run(); err != nil {
			return fmt.Errorf("%s for %s: %w", compilers[arch], s.name, err)
		}
	}
	return nil
}
