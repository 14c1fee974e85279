// SPDX-License-Identifier: Apache-2.0

package symbolize

import (
	"strings"
	"testing"
)

func TestDemangled(t *testing.T) {
	for _, tc := range []struct{ symbol, want string }{
		{"main", "main"},
		{"", ""},
		{"_ZN5field5TableIiE3putEiRKNSt7__cxx1112basic_stringIcSt11char_traitsIcESaIcEEE", "field::Table::put"},
		{"_ZN5field3sumESt6vectorIiSaIiEE", "field::sum"},
		{"_ZN4core3fmt5Write9write_fmt17h0123456789abcdefE", "core::fmt::Write::write_fmt"},
		{"_RNvCs1234_7rustmod4work", "rustmod::work"},
		{"_Znonsense", "_Znonsense"},
		{"_Z" + strings.Repeat("N", maxSymbol), "_Z" + strings.Repeat("N", maxSymbol)},
	} {
		if got := (NameStyle{}).name(tc.symbol); got != tc.want {
			t.Errorf("%.60s: %.60q, want %.60q", tc.symbol, got, tc.want)
		}
	}
}

// TestPreferName checks each pair in both orders.
func TestPreferName(t *testing.T) {
	for _, tc := range []struct{ better, worse string }{
		{"write", "__write"},
		{"memcpy", "memcpy@@GLIBC_2.14"},
		{"a_long_function", "short.part.0"},
		{"fold", "unfold"},
		{"aa", "ab"},
		{".hidden", "x.y"}, // a dot in front is no suffix
	} {
		if !preferName(tc.better, tc.worse) || preferName(tc.worse, tc.better) {
			t.Errorf("%q isn't preferred to %q", tc.better, tc.worse)
		}
		if !preferName([]byte(tc.better), []byte(tc.worse)) {
			t.Errorf("as bytes, %q isn't preferred to %q", tc.better, tc.worse)
		}
	}
}

func TestGoName(t *testing.T) {
	for symbol, want := range map[string]string{
		"main.main":                      "main.main",
		"main.f[go.shape.int]":           "main.f[...]",
		"main.T[go.shape.[]int].m.func1": "main.T[...].m.func1",
		"main.odd]name[":                 "main.odd]name[",
	} {
		if got := goName(symbol); got != want {
			t.Errorf("%s: %q, want %q", symbol, got, want)
		}
	}
}

// FuzzDemangle: whatever a file calls its functions, a name is bounded and comes soon.
func FuzzDemangle(f *testing.F) {
	f.Add("_ZN5field5TableIiE3putEiRKNSt7__cxx1112basic_stringIcSt11char_traitsIcESaIcEEE")
	f.Add("_RNvMs_Cs4fqI2P2rA04_1aINtB4_1SpE3foo")
	f.Add("_ZN4core3fmt5Write9write_fmt17h0123456789abcdefE")
	f.Fuzz(func(t *testing.T, symbol string) {
		if len(symbol) > maxSymbol {
			return
		}
		if got := (NameStyle{Full: true}).name(symbol); got != symbol && len(got) > 1<<maxDemangle {
			t.Errorf("%q has a name of %d bytes", symbol, len(got))
		}
	})
}
