// SPDX-License-Identifier: Apache-2.0

package unwind

import (
	"bufio"
	"debug/elf"
	"encoding/binary"
	"errors"
	"fmt"
	"hash"
	"hash/crc32"
	"io"
)

// An encoded table is little endian: the magic number, whose end is the version; the size of all as u32; Machine u16; Base u64; the numbers of
// rules and pages u32; the Stats, each count u32; the packed rules; of each page its number and its count of rows, u32; the packed rows
// of all pages; and the CRC-32C of all before, u32.
const (
	magic      = "unwind\x00\x0a"
	headerSize = len(magic) + 4 + 2 + 8 + 4 + 4 + 4*statCount
	statCount  = 4 + int(reasonEnd) - 1
	pageHead   = 8
	sumSize    = 4
)

var (
	errCorrupt = errors.New("corrupt unwind table")
	errVersion = errors.New("unwind table of another version")
	castagnoli = crc32.MakeTable(crc32.Castagnoli)
)

// counts are the statistics in the order that they are written.
func (s *Stats) counts() []int {
	c := []int{s.Functions, s.Malformed, s.Overlaps, s.LostFP}
	for why := Reason(1); why < reasonEnd; why++ {
		c = append(c, s.Unsupported[why])
	}
	return c
}

func (s *Stats) setCounts(c []int) {
	s.Functions, s.Malformed, s.Overlaps, s.LostFP = c[0], c[1], c[2], c[3]
	s.Unsupported = map[Reason]int{}
	for i, n := range c[4:] {
		if n > 0 {
			s.Unsupported[Reason(i+1)] = n
		}
	}
}

// encodedSize is what Encode writes in bytes.
func (t *Table) encodedSize() int {
	return headerSize + len(t.Rules)*RuleSize + len(t.Pages)*pageHead + t.rows()*RowSize + sumSize
}

// Encode writes the table in a form of its own, for Decode.
func (t *Table) Encode(w io.Writer) error {
	sum := crc32.New(castagnoli)
	out := bufio.NewWriterSize(io.MultiWriter(w, sum), 32<<10)
	le := binary.LittleEndian
	b := append([]byte(nil), magic...)
	b = le.AppendUint32(b, uint32(t.encodedSize()))
	b = le.AppendUint16(b, uint16(t.Machine))
	b = le.AppendUint64(b, t.Base)
	b = le.AppendUint32(b, uint32(len(t.Rules)))
	b = le.AppendUint32(b, uint32(len(t.Pages)))
	for _, n := range t.Stats.counts() {
		b = le.AppendUint32(b, uint32(n))
	}
	for _, r := range t.Rules {
		b = le.AppendUint64(b, r.word())
	}
	for _, p := range t.Pages {
		b = le.AppendUint32(b, p.Number)
		b = le.AppendUint32(b, uint32(len(p.Rows)))
	}
	for _, p := range t.Pages {
		if _, err := out.Write(b); err != nil {
			return err
		}
		b = AppendRows(b[:0], p.Rows)
	}
	if _, err := out.Write(b); err != nil {
		return err
	}
	if err := out.Flush(); err != nil {
		return err
	}
	_, err := w.Write(le.AppendUint32(nil, sum.Sum32()))
	return err
}

// AppendRows appends packed rows to b.
func AppendRows(b []byte, rows []Row) []byte {
	for _, r := range rows {
		b = binary.LittleEndian.AppendUint32(b, uint32(r.Low)|uint32(r.Rule)<<16)
	}
	return b
}

// decoder reads an encoded table of a size that is known.
type decoder struct {
	r    *bufio.Reader
	sum  hash.Hash32
	left int64 // bytes to come
	buf  []byte
}

// next gives the next n bytes, until the next call.
func (d *decoder) next(n int) ([]byte, error) {
	if int64(n) > d.left {
		return nil, errCorrupt
	}
	d.left -= int64(n)
	if cap(d.buf) < n {
		d.buf = make([]byte, n)
	}
	b := d.buf[:n]
	if _, err := io.ReadFull(d.r, b); err != nil {
		return nil, fmt.Errorf("%w: %w", errCorrupt, err)
	}
	d.sum.Write(b)
	return b, nil
}

// Decode reads a table that Encode wrote as size bytes. What was changed since is an error; so is a table of more rows than the
// options allow (ErrTooLarge). It takes nothing on trust: what it gives can be searched.
func Decode(r io.Reader, size int64, options Options) (*Table, error) {
	d := &decoder{r: bufio.NewReaderSize(r, 32<<10), sum: crc32.New(castagnoli), left: size}
	b, err := d.next(headerSize)
	if err != nil {
		return nil, err
	}
	le := binary.LittleEndian
	if end := len(magic) - 1; string(b[:end]) == magic[:end] && b[end] != magic[end] {
		return nil, errVersion
	}
	if string(b[:len(magic)]) != magic || int64(le.Uint32(b[len(magic):])) != size {
		return nil, errCorrupt
	}
	b = b[len(magic)+4:]
	t := &Table{Machine: elf.Machine(le.Uint16(b)), Base: le.Uint64(b[2:])}
	rules, pages := le.Uint32(b[10:]), le.Uint32(b[14:])
	var counts []int
	for b = b[18:]; len(b) > 0; b = b[4:] {
		counts = append(counts, int(le.Uint32(b)))
	}
	t.Stats.setCounts(counts)
	if rules > maxRules || pages > maxPages || t.Base%pageSize != 0 {
		return nil, errCorrupt
	}
	if err := t.decode(d, int(rules), int(pages), options); err != nil {
		return nil, err
	}
	want := d.sum.Sum32()
	if b, err = d.next(sumSize); err != nil || le.Uint32(b) != want || d.left != 0 {
		return nil, errCorrupt
	}
	return t, nil
}

// decode reads rules, pages and rows.
func (t *Table) decode(d *decoder, rules, pages int, options Options) error {
	b, err := d.next(rules * RuleSize)
	if err != nil {
		return err
	}
	for ; len(b) > 0; b = b[RuleSize:] {
		t.Rules = append(t.Rules, UnpackRule(binary.LittleEndian.Uint64(b)))
	}
	if b, err = d.next(pages * pageHead); err != nil {
		return err
	}
	rows, previous := options.maxRows(), int64(-1)
	counts := make([]int, 0, pages)
	for ; len(b) > 0; b = b[pageHead:] {
		number, n := binary.LittleEndian.Uint32(b), int(binary.LittleEndian.Uint32(b[4:]))
		if int64(number) <= previous || number >= maxPages || n == 0 || n > pageSize {
			return errCorrupt
		}
		if rows -= n; rows < 0 {
			return ErrTooLarge
		}
		previous = int64(number)
		t.Pages, counts = append(t.Pages, Page{Number: number}), append(counts, n)
	}
	for i, n := range counts {
		if t.Pages[i].Rows, err = d.rows(n, rules); err != nil {
			return err
		}
		t.Stats.Rows += n
	}
	return t.check()
}

// rows reads n rows of a page.
func (d *decoder) rows(n, rules int) ([]Row, error) {
	b, err := d.next(n * RowSize)
	if err != nil {
		return nil, err
	}
	rows := make([]Row, n)
	for i := range rows {
		w := binary.LittleEndian.Uint32(b[i*RowSize:])
		rows[i] = Row{Low: uint16(w), Rule: uint16(w >> 16)}
		if i == 0 && rows[i].Low != 0 || i > 0 && rows[i].Low <= rows[i-1].Low || int(rows[i].Rule) >= rules {
			return nil, errCorrupt
		}
	}
	return rows, nil
}

// UnpackRule is the inverse of [Rule.Pack], whose bytes w is.
func UnpackRule(w uint64) Rule {
	return Rule{
		CFA: CFA(w), FP: FP(w >> 8 & 15), RA: RA(w >> 12 & 15),
		CFAOffset: int16(w >> 16), FPOffset: int16(w >> 32), Aux: int16(w >> 48),
	}
}

// check refuses rules that no table has.
func (t *Table) check() error {
	for i, r := range t.Rules {
		if r.CFA >= cfaKinds || r.FP > FPUndefined || r.RA > RALanding || (r.CFA == CFANone) != (i == 0) {
			return errCorrupt
		}
	}
	if len(t.Pages) > 0 && len(t.Rules) == 0 {
		return errCorrupt
	}
	return nil
}
