// SPDX-License-Identifier: Apache-2.0

package reports

// A style colours text for terminals, or leaves it as it is.
type style bool

func (s style) heading(text string) string { return s.wrap("1", text) }
func (s style) faint(text string) string   { return s.wrap("2", text) }
func (s style) warning(text string) string { return s.wrap("33", text) }

// named colours the name of a function by the kind of its frame.
func (s style) named(f frame, text string) string {
	switch {
	case f.kind == unnamed || f.kind == unnamedKernel:
		return s.faint(text)
	case f.kind == kernel:
		return s.wrap("36", text)
	}
	return text
}

// wrap puts text between the SGR sequence of ECMA-48 with the given code and the one that resets.
func (s style) wrap(code, text string) string {
	if !s {
		return text
	}
	return "\x1b[" + code + "m" + text + "\x1b[0m"
}
