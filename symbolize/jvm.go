// SPDX-License-Identifier: Apache-2.0

package symbolize

import "github.com/assaylab/assay/internal/lazyregexp"

// jvmMethod matches what HotSpot writes into a perf map for a method (jcmd Compiler.perfmap): "void pkg.Class.method(long, int[])".
var jvmMethod = lazyregexp.New(`^[\p{L}\p{N}_.$\[\]/]+ ((?:[\p{L}\p{N}_$/]+\.)+[\p{L}\p{N}_$<>]+)\(.*\)$`)

// jvmLambda is the part of a hidden class's name that differs from run to run: a counter and an address.
var jvmLambda = lazyregexp.New(`\$\$Lambda(?:\$\d+)?/0x[0-9a-f]+`)

// jvmName is the name of a method as people say it, without types, like those of C++; ok is false when the name is none of HotSpot's.
func jvmName(symbol string) (name string, ok bool) {
	m := jvmMethod().FindStringSubmatch(symbol)
	if m == nil {
		return "", false
	}
	return jvmLambda().ReplaceAllLiteralString(m[1], "$$Lambda"), true
}
