// SPDX-License-Identifier: Apache-2.0

// Package python sees through the CPython interpreter, 3.8 to 3.13: which Python functions the threads of a process run, with file
// and line.
//
// A frame of Python lies in the memory of the process. The kernel side walks these frames when it takes a stack, and gives of each the
// address of its code object and the place in its bytecode; this package says where a process keeps what that walk needs
// ([Inspect], [Library.Attach]), turns code objects into names and lines ([Reader.Code]), and puts the frames of Python in place of the
// interpreter's own among the native ones ([Merge]). It can also walk the frames by itself ([Reader.Threads]), as an oracle for the
// kernel side.
//
// Everything that is read belongs to the process, which changes it as we read, or lies: each length, loop and list has a bound, and
// what doesn't fit is an error of that one frame.
//
// The layouts are those of CPython's headers (Include/cpython/code.h, Include/internal/pycore_frame.h, pycore_runtime.h, and cpython/frameobject.h
// before 3.11); from 3.13 on the interpreter itself says most of it (pycore_debug_offsets of _PyRuntime, made for tools like this).
package python
