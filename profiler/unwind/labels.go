// SPDX-License-Identifier: Apache-2.0

package unwind

// labels are the places at some offsets of a function.
type labels struct {
	start   uint32
	marked  bitmap
	index   []uint16 // in list, for each byte of the function
	list    []label
	changes []change
}

type label struct {
	at    uint32
	place place
}

// change is what one was before.
type change struct {
	index uint16
	was   place
}

// at gives the place at an offset, nil when there is none.
func (l *labels) at(at uint32) *place {
	if !l.marked.has(at) {
		return nil
	}
	return &l.list[l.index[at-l.start]].place
}

func (l *labels) set(at uint32, to *place) {
	if was := l.at(at); was != nil {
		l.changes = append(l.changes, change{l.index[at-l.start], *was})
		*was = *to
		return
	}
	l.marked.set(at)
	l.index[at-l.start] = uint16(len(l.list))
	l.list = append(l.list, label{at, *to})
}

// goBack takes back all labels and changes but the first ones.
func (l *labels) goBack(count, changes int) {
	for n := len(l.changes) - 1; n >= changes; n-- {
		l.list[l.changes[n].index].place = l.changes[n].was
	}
	for _, last := range l.list[count:] {
		l.marked.unset(last.at)
	}
	l.list, l.changes = l.list[:count], l.changes[:changes]
}
