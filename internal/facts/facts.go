// SPDX-License-Identifier: Apache-2.0

// Package facts carries what is known about a measurement inside the profile that it made.
//
// A profile says where time went; facts say how far to believe it: how long was measured, how many samples were expected and taken, what was
// lost and why, and what the measuring cost. They travel in one comment of the pprof file, so that they survive whatever copies the file and
// `go tool pprof -comments` shows them:
//
//	assay-facts v1
//	duration_ns=10000000000
//	lost.throttled=3
//	warning.1="a value with\na line break"
//
// A line is a key, "=", and a value up to the end of the line. Keys are made of [a-z0-9_.], with the unit at the end of a word (_ns, _bytes,
// _hz); a dot groups facts of one kind. A value that would not come back as it is (control characters, bytes that are not UTF-8, space at an end, a
// leading quote) stands in Go syntax between double quotes. Lines keep their order. A key occurs once.
package facts

import (
	"math"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"
)

// Header is the first line of the comment that carries facts.
const Header = "assay-facts v1"

// A Fact is one thing known about a measurement.
type Fact struct{ Key, Value string }

// Facts are in the order in which they were added. The zero value is ready to use.
type Facts []Fact

// Add sets key to value: at the end if the key is new, in its place otherwise. Bytes that a key can't have become "_", capitals
// small letters.
func (f *Facts) Add(key, value string) {
	key = cleanKey(key)
	for i := range *f {
		if (*f)[i].Key == key {
			(*f)[i].Value = value
			return
		}
	}
	*f = append(*f, Fact{key, value})
}

// AddInt adds a whole number.
func (f *Facts) AddInt(key string, value int64) { f.Add(key, strconv.FormatInt(value, 10)) }

// AddFloat adds a number, in the fewest digits that bring it back.
func (f *Facts) AddFloat(key string, value float64) {
	f.Add(key, strconv.FormatFloat(value, 'g', -1, 64))
}

// AddDuration adds a time in nanoseconds; its key ends in "_ns".
func (f *Facts) AddDuration(key string, value time.Duration) { f.AddInt(key, value.Nanoseconds()) }

// Get returns the value of key, and whether there is one.
func (f Facts) Get(key string) (string, bool) {
	for _, fact := range f {
		if fact.Key == key {
			return fact.Value, true
		}
	}
	return "", false
}

// Int returns the value of key if it is a whole number.
func (f Facts) Int(key string) (int64, bool) {
	value, _ := f.Get(key)
	n, err := strconv.ParseInt(value, 10, 64)
	return n, err == nil
}

// Float returns the value of key if it is a finite number.
func (f Facts) Float(key string) (float64, bool) {
	value, _ := f.Get(key)
	x, err := strconv.ParseFloat(value, 64)
	return x, err == nil && !math.IsInf(x, 0) && !math.IsNaN(x)
}

// Duration returns the value of key if it is a whole number of nanoseconds.
func (f Facts) Duration(key string) (time.Duration, bool) {
	n, ok := f.Int(key)
	return time.Duration(n), ok
}

// Group returns the facts whose keys begin with prefix, without it.
func (f Facts) Group(prefix string) Facts {
	var group Facts
	for _, fact := range f {
		if rest, ok := strings.CutPrefix(fact.Key, prefix); ok {
			group = append(group, Fact{rest, fact.Value})
		}
	}
	return group
}

// Drop removes the facts whose keys begin with prefix.
func (f *Facts) Drop(prefix string) {
	*f = slices.DeleteFunc(*f, func(fact Fact) bool { return strings.HasPrefix(fact.Key, prefix) })
}

// Comment returns f as a comment for a profile.
func (f Facts) Comment() string {
	var b strings.Builder
	b.WriteString(Header)
	for _, fact := range f {
		b.WriteString("\n" + cleanKey(fact.Key) + "=" + quote(fact.Value))
	}
	return b.String()
}

func isKeyByte(c rune) bool {
	return 'a' <= c && c <= 'z' || '0' <= c && c <= '9' || c == '_' || c == '.'
}

func cleanKey(key string) string {
	if key == "" {
		return "_"
	}
	return strings.Map(func(c rune) rune {
		if c = unicode.ToLower(c); isKeyByte(c) {
			return c
		}
		return '_'
	}, key)
}

// quote returns value as it stands in a comment.
func quote(value string) string {
	plain := utf8.ValidString(value) &&
		!strings.HasPrefix(value, `"`) &&
		strings.TrimSpace(value) == value &&
		strings.IndexFunc(value, func(c rune) bool { return !unicode.IsPrint(c) }) < 0
	if plain {
		return value
	}
	return strconv.Quote(value)
}
