// SPDX-License-Identifier: Apache-2.0

package symbolize

import "github.com/google/pprof/profile"

// frame is one function that a location stands for. A location has several when calls were inlined, the innermost first.
type frame struct {
	name   string // for people
	symbol string // as the linker knows it
	file   string // "" when not known, like the lines
	line   int64
	start  int64 // line of the function's own start
}

type functionKey struct {
	name, symbol, file string
	start              int64
}

// functions adds functions to a profile, each once.
type functions struct {
	profile *profile.Profile
	style   NameStyle
	byKey   map[functionKey]*profile.Function
	nextID  uint64
}

func newFunctions(p *profile.Profile, style NameStyle) *functions {
	f := &functions{profile: p, style: style, byKey: make(map[functionKey]*profile.Function), nextID: 1}
	for _, fn := range p.Function {
		f.byKey[functionKey{fn.Name, fn.SystemName, fn.Filename, fn.StartLine}] = fn
		f.nextID = max(f.nextID, fn.ID+1)
	}
	return f
}

func (f *functions) lines(frames []frame) []profile.Line {
	lines := make([]profile.Line, len(frames))
	for i, fr := range frames {
		lines[i] = profile.Line{Function: f.function(fr), Line: fr.line}
	}
	return lines
}

func (f *functions) function(fr frame) *profile.Function {
	key := functionKey{fr.name, fr.symbol, fr.file, fr.start}
	if fn := f.byKey[key]; fn != nil {
		return fn
	}
	fn := &profile.Function{ID: f.nextID, Name: fr.name, SystemName: fr.symbol, Filename: fr.file, StartLine: fr.start}
	f.nextID++
	f.byKey[key] = fn
	f.profile.Function = append(f.profile.Function, fn)
	return fn
}
