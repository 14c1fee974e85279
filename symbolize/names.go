// SPDX-License-Identifier: Apache-2.0

package symbolize

import (
	"slices"
	"strings"

	"github.com/ianlancetaylor/demangle"
)

const (
	maxSymbol   = 4096 // bytes of a symbol's name that are read; C++ templates come near
	maxMangled  = 2048 // bytes of a symbol that is demangled; the time for hostile ones grows with the square, to 7 ms here
	maxDemangle = 12   // a demangled name has at most 1<<12 bytes
)

// demangleOptions leave out function parameters and template arguments: with them one function fills a screen, and shares of
// a profile fall apart by instantiation. The mangled name, kept as SystemName, still tells these apart.
var demangleOptions = []demangle.Option{demangle.NoParams, demangle.NoTemplateParams, demangle.MaxLength(maxDemangle)}

// fullOptions keep both, and the parameters make overloads differ.
var fullOptions = []demangle.Option{demangle.MaxLength(maxDemangle)}

// NameStyle says how the names of native functions are written.
type NameStyle struct {
	Full bool // with parameters and template arguments
	Fold bool // without what a compiler adds to parts and clones of a function: ".cold", ".isra.0"
}

// frame is the frame of a symbol that a C, C++ or Rust compiler may have mangled.
func (s NameStyle) frame(symbol string) frame {
	return frame{name: s.name(symbol), symbol: symbol}
}

// namer names the frames of a file. Symbols come again and again, most of all those of inlined functions: each is made readable once, and takes memory
// once.
type namer struct {
	style NameStyle
	known map[string]frame
}

func newNamer(style NameStyle) namer { return namer{style, map[string]frame{}} }

func (n namer) frame(symbol string) frame {
	f, ok := n.known[symbol]
	if !ok {
		f = n.style.frame(symbol)
		n.known[symbol] = f
	}
	return f
}

// name is the readable form of a C++ or Rust symbol (v0, or legacy without its hash), and any other symbol itself.
func (s NameStyle) name(symbol string) string {
	plain := symbol
	if s.Fold {
		plain = withoutClones(symbol)
	}
	if s.Full {
		return demangled(plain, fullOptions)
	}
	return demangled(plain, demangleOptions)
}

// clones are what gcc and clang add to the names of functions that they split or copied. A number may follow.
var clones = []string{"cold", "isra", "part", "constprop", "lto_priv", "llvm", "localalias", "warm", "unlikely"}

// withoutClones drops such suffixes from the end of a symbol.
func withoutClones(symbol string) string {
	for {
		s := strings.TrimRight(symbol, "0123456789")
		if s == symbol || !strings.HasSuffix(s, ".") {
			s = symbol + "."
		}
		s = s[:len(s)-1]
		i := strings.LastIndexByte(s, '.')
		if i <= 0 || !slices.Contains(clones, s[i+1:]) {
			return symbol
		}
		symbol = s[:i]
	}
}

// demangled demangles. Names come from hostile files and the demangler is large, so a panic in it leaves the symbol as it is.
func demangled(symbol string, options []demangle.Option) (name string) {
	if len(symbol) > maxMangled {
		return symbol
	}
	defer func() {
		if recover() != nil || name == "" {
			name = symbol
		}
	}()
	return demangle.Filter(symbol, options...)
}

// preferName says whether, of two names for one address, the first is the one that people use: without a suffix that a
// compiler or linker added (".part.0", "@@GLIBC_2.2"), with fewer leading underscores, shorter. The last resort is the order
// of the alphabet, so that the choice doesn't depend on the order of a table.
func preferName[S ~string | ~[]byte](a, b S) bool {
	if x, y := suffixed(a), suffixed(b); x != y {
		return y
	}
	if x, y := underscores(a), underscores(b); x != y {
		return x < y
	}
	if len(a) != len(b) {
		return len(a) < len(b)
	}
	return string(a) < string(b)
}

func suffixed[S ~string | ~[]byte](s S) bool {
	for i := 1; i < len(s); i++ {
		if s[i] == '.' || s[i] == '@' {
			return true
		}
	}
	return false
}

func underscores[S ~string | ~[]byte](s S) int {
	n := 0
	for n < len(s) && s[n] == '_' {
		n++
	}
	return n
}

// withoutVersion drops the version that a linker puts behind a name in .symtab: "memcpy@@GLIBC_2.14".
func withoutVersion(symbol string) string {
	if i := strings.IndexByte(symbol, '@'); i > 0 {
		return symbol[:i]
	}
	return symbol
}
