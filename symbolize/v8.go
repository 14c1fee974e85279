// SPDX-License-Identifier: Apache-2.0

package symbolize

import (
	"net/url"
	"strconv"
	"strings"

	"github.com/assaylab/assay/internal/lazyregexp"
)

// v8Code matches what V8 writes into a perf map for code of a script (node --perf-basic-prof): kind, how it was compiled (~ interpreted,
// ^ baseline, + Maglev, * TurboFan), then the function's name, which may be empty, and its place FILE:LINE[:COLUMN].
var v8Code = lazyregexp.New(`^(JS|LazyCompile|Function|Script|Eval):[~^+*]'?(.*?):(\d{1,9})(?::\d{1,9})?$`)

// v8Places are the beginnings of file names by which the place is told from a name before it: both may have spaces.
var v8Places = []string{" file://", " node:", " /"}

// v8Unnamed is what code without a name is called, by kind: as in V8's own stack traces, where they have a word for it.
var v8Unnamed = map[string]string{"Script": "<script>", "Eval": "<eval>"}

// jitFrame is the frame of code that a JIT compiler has given a name. The tiers of V8 become one function: how it was compiled is no
// part of what it is called. The line is the one where the function begins, since a perf map knows no other.
func jitFrame(name string) frame {
	m := v8Code().FindStringSubmatch(name)
	if m == nil {
		if method, ok := jvmName(name); ok {
			return frame{name: method, symbol: name}
		}
		return frame{name: name, symbol: name}
	}
	function, file := splitV8(m[2])
	if function == "" {
		function = v8Unnamed[m[1]]
	}
	if function == "" {
		function = "<anonymous>"
	}
	line, err := strconv.ParseInt(m[3], 10, 64)
	if err != nil {
		line = 0 // nine digits fit; none would be a place without a line
	}
	// A symbol of its own keeps pprof from demangling names like <anonymous>, which it takes for C++ and leaves nothing of.
	return frame{name: function, symbol: file + ":" + function, file: file, line: line, start: line}
}

// splitV8 takes "NAME FILE" apart.
func splitV8(s string) (function, file string) {
	at := strings.LastIndexByte(s, ' ')
	for _, p := range v8Places {
		if i := strings.Index(s, p); i >= 0 {
			at = i
			break
		}
	}
	if at < 0 {
		return s, ""
	}
	return s[:at], scriptPath(s[at+1:])
}

// scriptPath is the name of a script's file: a file's URL becomes a path.
func scriptPath(file string) string {
	path, ok := strings.CutPrefix(file, "file://")
	if !ok {
		return file
	}
	if plain, err := url.PathUnescape(path); err == nil {
		return plain
	}
	return path
}
