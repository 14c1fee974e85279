// SPDX-License-Identifier: Apache-2.0

package symbolize

import (
	"slices"

	"github.com/google/pprof/profile"
)

// addrs is a sorted set of addresses that are looked for in one table.
type addrs []uint64

// from is the index of the first address at or above v, len(a) if there is none.
func (a addrs) from(v uint64) int {
	i, _ := slices.BinarySearch(a, v)
	return i
}

// query holds the locations that one table is asked about, by their addresses in it.
type query struct {
	items []item
	funcs *functions
}

type item struct {
	target *target
	loc    *profile.Location
	addr   uint64
}

func (q *query) add(t *target, l *profile.Location, addr uint64) {
	q.items = append(q.items, item{t, l, addr})
}

// addAll asks for every location of the targets at the address that it has in the profile.
func (q *query) addAll(targets []*target) {
	for _, t := range targets {
		for _, l := range t.locations {
			q.add(t, l, l.Address)
		}
	}
}

// addrs are the distinct addresses asked for.
func (q *query) addrs() addrs {
	all := make(addrs, len(q.items))
	for i, it := range q.items {
		all[i] = it.addr
	}
	slices.Sort(all)
	return slices.Compact(all)
}

// answer gives each location the frames that were found for its address, and notes the reason for those without.
func (q *query) answer(want addrs, found [][]frame, why Unnamed) {
	for _, it := range q.items {
		frames := found[want.from(it.addr)]
		if len(frames) == 0 {
			it.target.unnamed(why.Reason, why.Detail, 1)
			continue
		}
		it.loc.Line = q.funcs.lines(frames)
		it.target.count(it.loc)
	}
}

// refuse notes one reason for all locations.
func (q *query) refuse(why Unnamed) {
	for _, it := range q.items {
		it.target.unnamed(why.Reason, why.Detail, 1)
	}
}
