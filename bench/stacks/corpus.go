// SPDX-License-Identifier: Apache-2.0

package main

import (
	"embed"
	"strings"
)

//go:embed programs
var programs embed.FS

// A program is one case of the corpus. In both commands {seconds} stands for how long to work, {programs} for the folder of the sources;
// they run in a folder of their own, where the first puts what the second needs.
type program struct {
	name  string
	build string
	run   string
}

// native is the warnings-free compilation of one source to the file "program".
func native(name, build, source, args string) program {
	return program{name, build + " -o program {programs}/" + source, strings.TrimSpace("./program {seconds} " + args)}
}

// corpus returns all cases, in the order of the table.
func corpus() []program {
	var all []program
	for _, compiler := range []string{"gcc", "clang-19"} {
		for _, level := range []string{"-O0", "-O1", "-O2", "-O3"} {
			all = append(all, native("C, "+compiler+" "+level, compiler+" -fomit-frame-pointer "+level, "deep.c", "30"))
		}
	}
	return append(append(all, built()...), shipped...)
}

// built are the programs that are compiled in one or few ways.
func built() []program {
	const c, cxx = "gcc -O2 -fomit-frame-pointer", " -O2 -std=c++20 -fomit-frame-pointer"
	return []program{
		native("C, frame pointers", "gcc -O2 -fno-omit-frame-pointer", "deep.c", "30"),
		native("C, LTO", c+" -flto", "deep.c", "30"),
		native("C, static", c+" -static", "deep.c", "30"),
		native("C, static-pie", c+" -static-pie", "deep.c", "30"),
		native("C, musl", "musl-gcc -O2 -fomit-frame-pointer", "deep.c", "30"),
		native("C, musl, static", "musl-gcc -O2 -fomit-frame-pointer -static", "deep.c", "30"),
		native("C, stripped", c+" -s", "deep.c", "30"),
		native("C, 100 calls deep", c, "deep.c", "100"),
		native("C, 1000 calls deep", c, "deep.c", "1000"),
		native("C, signal handlers", c, "signals.c", ""),
		native("C, ucontext", c, "context.c", ""),
		native("C, posix_spawn", c, "spawn.c", ""),
		native("C++, exceptions, g++", "g++"+cxx, "throw.cc", ""),
		native("C++, exceptions, clang", "clang++-19"+cxx, "throw.cc", ""),
		native("C++, exceptions, frame pointers", "g++ -O0 -std=c++20 -fno-omit-frame-pointer", "throw.cc", ""),
		native("C++, coroutines, g++", "g++"+cxx, "coroutine.cc", ""),
		native("C++, coroutines, clang", "clang++-19"+cxx, "coroutine.cc", ""),
		native("Rust, release", "rustc -O", "rusty.rs", ""),
		native("Rust, panic=abort", "rustc -O -C panic=abort", "rusty.rs", ""),
		{"Go", "go build -o program {programs}/tree.go", "./program {seconds}"},
	}
}

// shipped are the interpreters and servers of the distribution.
var shipped = []program{
	{"libcrypto's assembly", "", "sh {programs}/openssl.sh {seconds}"},
	{"python3", "", "/usr/bin/python3 {programs}/tree.py {seconds}"},
	{"node", "", "node --perf-basic-prof --interpreted-frames-native-stack {programs}/tree.js {seconds}"},
	{"node, no option", "", "node {programs}/tree.js {seconds}"},
	{"java, -XX:+PreserveFramePointer", "javac -d . {programs}/Tree.java", "java -XX:+PreserveFramePointer -cp . Tree {seconds}"},
	{"java, no option", "javac -d . {programs}/Tree.java", "java -cp . Tree {seconds}"},
	{"redis", "", "sh {programs}/redis.sh {seconds}"},
	{"postgres", "", "sh {programs}/postgres.sh {seconds}"},
	{"nginx", "", "sh {programs}/nginx.sh {seconds}"},
	{"sqlite3", "", "sh {programs}/sqlite.sh {seconds}"},
}
