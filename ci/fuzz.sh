#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
#
# Runs fuzz tests, one after the other: ci/fuzz.sh [HOW LONG EACH [PACKAGE…]]. How long is a time (10s) or a number of inputs (5000x); without
# packages it is every fuzz test of the module. What they find lies in the package's testdata/fuzz, where tests try it again for ever.
set -euo pipefail

time=${1:-10s}
shift || true
[ $# -gt 0 ] || set -- ./...

# `go test -list` prints the names of a package's tests, then the package.
go test -list '^Fuzz' "$@" |
	awk '/^Fuzz/ { names[++n] = $1 } /^ok/ { for (i = 1; i <= n; i++) print $2, names[i]; n = 0 }' |
	while read -r package name; do
		echo "$package $name"
		go test -run '^$' -fuzz "^$name\$" -fuzztime "$time" -parallel 2 "$package" </dev/null
	done
