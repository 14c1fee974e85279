// SPDX-License-Identifier: Apache-2.0

package unwind

import "errors"

// ErrTooLarge says that a table would outgrow Options.MaxBytes.
var ErrTooLarge = errors.New("unwind table too large")

// layout makes pages of rules for rising addresses.
type layout struct {
	table   *Table
	index   map[uint64]uint16 // packed rule to its number
	recent  [64]numbered      // of index
	maxRows int

	rows   []Row  // of the page under way
	number uint64 // of that page
	end    uint64 // vaddr up to which all is said
	last   uint16 // rule that holds there
	total  int
}

// numbered is a packed rule and its number.
type numbered struct {
	word   uint64
	number uint16
}

func newLayout(t *Table, maxRows int) *layout {
	t.Rules = append(t.Rules, Rule{})
	return &layout{table: t, index: map[uint64]uint16{0: 0}, maxRows: maxRows, end: t.Base, rows: make([]Row, 0, 4096)}
}

// rule gives the number of a rule. When the dictionary is full a new rule is lost, and said so.
func (l *layout) rule(r Rule) uint16 {
	w := r.word()
	recent := &l.recent[w*0x9e3779b97f4a7c15>>58]
	if recent.word == w {
		return recent.number
	}
	if n, ok := l.index[w]; ok {
		*recent = numbered{w, n}
		return n
	}
	if len(l.table.Rules) >= maxRules-1 && r != unsupported(ReasonTooManyRules) {
		return l.rule(unsupported(ReasonTooManyRules))
	}
	n := uint16(len(l.table.Rules))
	l.table.Rules = append(l.table.Rules, r)
	l.index[w] = n
	return n
}

// span says that r holds from start to end, but for what was said before.
func (l *layout) span(start, end uint64, r Rule) error {
	if start = max(start, l.end); start >= end {
		return nil
	}
	if start > l.end {
		if err := l.put(l.end, start, 0); err != nil {
			return err
		}
	}
	return l.put(start, end, l.rule(r))
}

// put is span without holes. A page of its own begins with a row of its own, so that a search stays inside its page.
func (l *layout) put(start, end uint64, rule uint16) error {
	if rule != l.last || (start-l.table.Base)>>pageBits != l.number {
		if err := l.row(start, rule); err != nil {
			return err
		}
	}
	for rule != 0 && (end-1-l.table.Base)>>pageBits != l.number {
		if err := l.row(l.table.Base+(l.number+1)<<pageBits, rule); err != nil {
			return err
		}
	}
	l.end, l.last = end, rule
	return nil
}

// row begins a row, and a page when the address lies in another than the row before.
func (l *layout) row(vaddr uint64, rule uint16) error {
	at := vaddr - l.table.Base
	if at>>pageBits != l.number {
		l.flush()
		l.number = at >> pageBits
	}
	if len(l.rows) == 0 && uint16(at) != 0 {
		l.rows = append(l.rows, Row{}) // a page that begins with nothing
		l.total++
	}
	l.rows = append(l.rows, Row{Low: uint16(at), Rule: rule})
	l.last = rule
	if l.total++; l.total > l.maxRows {
		return ErrTooLarge
	}
	return nil
}

// flush ends the page under way.
func (l *layout) flush() {
	if len(l.rows) > 1 || len(l.rows) == 1 && l.rows[0].Rule != 0 {
		l.table.Pages = append(l.table.Pages, Page{Number: uint32(l.number), Rows: append([]Row(nil), l.rows...)})
	}
	l.rows = l.rows[:0]
}

// finish ends the table.
func (l *layout) finish() error {
	if l.last != 0 && (l.end-l.table.Base)>>pageBits == l.number {
		if err := l.row(l.end, 0); err != nil {
			return err
		}
	}
	l.flush()
	return nil
}
