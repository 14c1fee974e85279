// SPDX-License-Identifier: Apache-2.0

package reports

import (
	"cmp"
	"errors"
	"slices"

	"github.com/google/pprof/profile"
)

// sampleIndex returns the index of a sample type by its name; the empty name is the profile's default.
func sampleIndex(p *profile.Profile, name string) (int, error) {
	if len(p.SampleType) == 0 {
		return 0, errors.New("profile has no sample types")
	}
	return p.SampleIndexByName(name)
}

// totalOf sums the values of one sample type.
func totalOf(p *profile.Profile, index int) int64 {
	var total int64
	for _, s := range p.Sample {
		total = addSaturating(total, s.Value[index])
	}
	return total
}

// A function is a row of a table: what is known of all frames of one name.
type function struct {
	frame
	flat, cum  int64
	lastSample int // 1 + index of the sample counted last, so that recursion counts once
}

// count adds a sample's value, once however often the function occurs in it.
func (f *function) count(v int64, sample int, leaf bool) {
	if leaf {
		f.flat = addSaturating(f.flat, v)
	}
	if f.lastSample != sample+1 {
		f.lastSample = sample + 1
		f.cum = addSaturating(f.cum, v)
	}
}

// topFunctions returns the functions of a profile by flat value, the largest first.
func topFunctions(p *profile.Profile, index int) []*function {
	names := namer{}
	byFrame := map[frame]*function{}
	for i, s := range p.Sample {
		v := s.Value[index]
		if v == 0 {
			continue
		}
		for depth, f := range names.leafFirst(s) {
			if byFrame[f] == nil {
				byFrame[f] = &function{frame: f}
			}
			byFrame[f].count(v, i, depth == 0)
		}
	}
	return sortFunctions(byFrame)
}

func sortFunctions(byFrame map[frame]*function) []*function {
	functions := make([]*function, 0, len(byFrame))
	for _, f := range byFrame {
		functions = append(functions, f)
	}
	slices.SortFunc(functions, func(a, b *function) int {
		return cmp.Or(cmp.Compare(b.flat, a.flat), cmp.Compare(b.cum, a.cum), cmp.Compare(a.name, b.name), cmp.Compare(a.kind, b.kind))
	})
	return functions
}
