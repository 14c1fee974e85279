// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"fmt"
	"path/filepath"
)

// pythonPackages hold CPython and the libraries that it needs, which programs of C use, too.
var pythonPackages = []string{"python3.11-minimal", "libpython3.11-minimal", "libexpat1", "libc6"}

// zlib is needed as well, but had no security update, so it is not where those are.
var zlib = pinned{
	url:    "http://deb.debian.org/debian/pool/main/z/zlib/zlib1g_1.2.13.dfsg-1_" + foreign + ".deb",
	sha256: "52b8b8a145bbe1956bba82034f77022cbef0c3d0885c9e32d9817a7932fe1913",
}

// pythonFiles are what the guest needs of those packages, at least one file for each.
var pythonFiles = []string{
	"usr/bin/python3.11", "usr/lib/python3.11/*.py", "usr/lib/python3.11/*/*.py",
	"lib/ld-linux-*", "lib/*/ld-linux-*", "lib/*/libc.so.*", "lib/*/libm.so.*", "lib/*/libz.so.*", "lib/*/libexpat.so.*",
}

// findPython returns the files of CPython for the foreign architecture, each under the name that it has in the guest.
func findPython(ctx context.Context, packages *debian) (map[string]string, error) {
	tree, err := zlib.tree(ctx, packages.dir)
	if err != nil {
		return nil, err
	}
	trees := []string{tree}
	for _, name := range pythonPackages {
		if tree, err = packages.tree(name, foreign); err != nil {
			return nil, err
		}
		trees = append(trees, tree)
	}
	files := map[string]string{}
	for _, pattern := range pythonFiles {
		before := len(files)
		if err := addMatches(files, trees, pattern); err != nil {
			return nil, err
		}
		if len(files) == before {
			return nil, fmt.Errorf("no package of Python has %s", pattern)
		}
	}
	return files, nil
}

// addMatches adds the files below some folders that match a pattern, by their path from there.
func addMatches(files map[string]string, trees []string, pattern string) error {
	for _, tree := range trees {
		paths, err := filepath.Glob(filepath.Join(tree, pattern))
		if err != nil {
			return err
		}
		for _, path := range paths {
			name, err := filepath.Rel(tree, path)
			if err != nil {
				return err
			}
			files[name] = path
		}
	}
	return nil
}
