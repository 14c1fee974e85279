#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
#
# Runs every fuzz test of the module, one after the other: ci/fuzz.sh [TIME EACH].
set -euo pipefail

# `go test -list` prints the names of a package's tests, then the package.
go test -list '^Fuzz' ./... |
	awk '/^Fuzz/ { names[++n] = $1 } /^ok/ { for (i = 1; i <= n; i++) print $2, names[i]; n = 0 }' |
	while read -r package name; do
		echo "$package $name"
		go test -run '^$' -fuzz "^$name\$" -fuzztime "${1:-10s}" -parallel 2 "$package" </dev/null
	done
