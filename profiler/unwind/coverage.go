// SPDX-License-Identifier: Apache-2.0

package unwind

// Coverage says how much of some code a table knows, in bytes.
type Coverage struct {
	Described   uint64 // a walk gets through without a guess
	Guessed     uint64 // it has to trust the frame pointer
	Unsupported uint64 // described in a way that a walk can't follow
	Unknown     uint64 // nothing is known, so that the frame pointer has to do, too
	Padding     uint64 // holes as they are there for alignment between functions
	// Of the code that is described:
	Ends uint64 // the first frames of stacks
	Kept uint64 // its compiler keeps frame pointers, whose chain ends with 0: Go's
}

// Add adds what is known of other code.
func (c *Coverage) Add(o Coverage) {
	c.Described += o.Described
	c.Guessed += o.Guessed
	c.Unsupported += o.Unsupported
	c.Unknown += o.Unknown
	c.Padding += o.Padding
	c.Ends += o.Ends
	c.Kept += o.Kept
}

// Coverage says how much a table knows of the code between two vaddrs.
func (t *Table) Coverage(start, end uint64) Coverage {
	var c Coverage
	at := start
	for _, p := range t.Pages {
		page := t.Base + uint64(p.Number)<<pageBits
		for i, row := range p.Rows {
			to := page + pageSize
			if i+1 < len(p.Rows) {
				to = page + uint64(p.Rows[i+1].Low)
			}
			from := max(page+uint64(row.Low), start)
			to = min(to, end)
			if r := &t.Rules[row.Rule]; from < to && r.CFA != CFANone {
				c.hole(from - at)
				c.rule(r, to-from)
				at = to
			}
		}
	}
	if at < end {
		c.hole(end - at)
	}
	return c
}

func (c *Coverage) hole(size uint64) {
	if size < padding {
		c.Padding += size
		return
	}
	c.Unknown += size
}

func (c *Coverage) rule(r *Rule, size uint64) {
	switch {
	case r.CFA == CFAUnsupported:
		c.Unsupported += size
	case r.CFA == CFAFramePointer && r.Aux == 0:
		c.Guessed += size
	case r.CFA == CFAEnd:
		c.Ends += size
		c.Described += size
	case r.CFA == CFAFramePointer:
		c.Kept += size
		c.Described += size
	default:
		c.Described += size
	}
}
