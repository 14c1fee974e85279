// SPDX-License-Identifier: Apache-2.0

package reports

import (
	"fmt"
	"path"
	"slices"
	"strings"

	"github.com/google/pprof/profile"
)

// A kind says what a frame stands for. The flame graph's page has the same numbers in its colours.
type kind byte

const (
	user kind = iota
	kernel
	unnamed
	unnamedKernel
	thread // the root of a thread's stacks
	other  // many small frames in the place of one
)

type frame struct {
	name string
	kind kind
}

func (f frame) inKernel() bool { return f.kind == kernel || f.kind == unnamedKernel }

// label is the name in a table, where nothing else may tell the kernel's frames.
func (f frame) label() string {
	if f.inKernel() {
		return f.name + " [k]"
	}
	return f.name
}

// A namer finds the frames of locations, each location once.
type namer map[*profile.Location][]frame

// leafFirst returns the frames of a sample from the leaf to the root, the innermost inlined call of a location first. There is always one.
func (n namer) leafFirst(s *profile.Sample) []frame {
	if len(s.Location) == 0 {
		return []frame{{"[no stack]", unnamed}}
	}
	var frames []frame
	for _, l := range s.Location {
		known, ok := n[l]
		if !ok {
			known = framesOf(l)
			n[l] = known
		}
		frames = append(frames, known...)
	}
	return frames
}

// rootFirst returns the frames of a sample from the root to the leaf. The root is the thread, where the sample has its name: with perThread, each
// thread by itself, otherwise all of the same name together.
func (n namer) rootFirst(s *profile.Sample, perThread bool) []frame {
	stack := n.leafFirst(s)
	if name := threadName(s, perThread); name != "" {
		stack = append(stack, frame{name, thread})
	}
	slices.Reverse(stack)
	return stack
}

// threadName returns what the labels of a sample say of its thread, or nothing.
func threadName(s *profile.Sample, perThread bool) string {
	var name string
	if comm := s.Label["comm"]; len(comm) > 0 {
		name = printable(comm[0])
	}
	if tid := s.NumLabel["tid"]; perThread && len(tid) > 0 {
		name = strings.TrimSpace(fmt.Sprintf("%s (tid %d)", name, tid[0]))
	}
	return name
}

func framesOf(l *profile.Location) []frame {
	named, bare := user, unnamed
	if isKernel(l) {
		named, bare = kernel, unnamedKernel
	}
	var frames []frame
	for _, line := range l.Line {
		if line.Function != nil && line.Function.Name != "" {
			frames = append(frames, frame{printable(line.Function.Name), named})
		}
	}
	if frames == nil {
		frames = []frame{{place(l), bare}}
	}
	return frames
}

// isKernel tells by the name that perf and pprof give the kernel's mapping, or by the half of the address space: both x86-64 and arm64 have the
// kernel in the upper one. [vsyscall] is the one page of user code there.
func isKernel(l *profile.Location) bool {
	if l.Mapping != nil && strings.HasPrefix(l.Mapping.File, "[kernel") {
		return true
	}
	return l.Address>>63 == 1 && (l.Mapping == nil || l.Mapping.File != "[vsyscall]")
}

// place names a location by where its code is.
func place(l *profile.Location) string {
	m := l.Mapping
	if m == nil || m.File == "" || l.Address < m.Start {
		return fmt.Sprintf("[%#x]", l.Address)
	}
	file := strings.Trim(path.Base(m.File), "[]")
	return fmt.Sprintf("[%s+%#x]", printable(file), l.Address-m.Start+m.Offset)
}
