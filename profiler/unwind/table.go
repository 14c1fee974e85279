// SPDX-License-Identifier: Apache-2.0

package unwind

import (
	"debug/elf"
	"sort"
)

const (
	pageBits = 16
	pageSize = 1 << pageBits

	maxRules = 1<<16 - 1
	maxPages = 1 << 16 // 4 GiB of code
)

// Table says of each address of a file's code how to unwind from there.
type Table struct {
	Machine elf.Machine
	Base    uint64 // vaddr of the first page, a multiple of 64 KiB
	Rules   []Rule // at most 65,535; the first is the zero Rule
	Pages   []Page // sorted by number
	Stats   Stats
}

// Page holds the rows of 64 KiB of addresses. Pages without any code are left out.
type Page struct {
	Number uint32 // the page begins at Table.Base + Number<<16
	Rows   []Row  // sorted by Low without repetition; the first has Low 0
}

// Row gives the rule from an address to that of the next row, or to the end of the page. In the kernel: two little-endian u16.
type Row struct {
	Low  uint16 // low bits of the address
	Rule uint16 // index in Table.Rules
}

// RowSize is what a row takes in bytes.
const RowSize = 4

// Stats says what a table was made of and what is missing in it.
type Stats struct {
	Functions   int            // entries of call frame information with addresses in the file's code
	Rows        int            // of all pages
	Malformed   int            // entries that could not be read
	Overlaps    int            // entries cut because another begins in their midst
	Unsupported map[Reason]int // rows of each reason
	LostFP      int            // rows whose frame pointer is saved in a way that is not kept
}

// count sets what of the statistics the table itself says.
func (t *Table) count() {
	t.Stats.Rows = t.rows()
	for _, p := range t.Pages {
		for _, row := range p.Rows {
			if r := &t.Rules[row.Rule]; r.CFA == CFAUnsupported {
				t.Stats.Unsupported[Reason(r.Aux)]++
			}
		}
	}
}

// rows counts the rows of all pages.
func (t *Table) rows() int {
	n := 0
	for _, p := range t.Pages {
		n += len(p.Rows)
	}
	return n
}

// Size is what the table takes in bytes when it is packed: rules, rows, and 12 bytes a page.
func (t *Table) Size() int {
	return len(t.Rules)*RuleSize + t.rows()*RowSize + len(t.Pages)*12
}

// Find gives the rule for a vaddr, false where no one described the code. A walk asks with the address of the instruction that
// runs, and above with the return address - 1, which is inside the call.
func (t *Table) Find(vaddr uint64) (Rule, bool) {
	number := (vaddr - t.Base) >> pageBits
	if vaddr < t.Base || number >= maxPages {
		return Rule{}, false
	}
	i := sort.Search(len(t.Pages), func(i int) bool { return uint64(t.Pages[i].Number) >= number })
	if i == len(t.Pages) || uint64(t.Pages[i].Number) != number {
		return Rule{}, false
	}
	rows, low := t.Pages[i].Rows, uint16(vaddr)
	after := sort.Search(len(rows), func(i int) bool { return rows[i].Low > low })
	r := t.Rules[rows[after-1].Rule]
	return r, r.CFA != CFANone
}
