// SPDX-License-Identifier: Apache-2.0

package symbolize

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"strings"
)

// maxKallsymsLine is more than twice the longest line of a kernel: its names have at most 512 bytes.
const maxKallsymsLine = 2048

// nameKernel names the addresses of the kernel, its modules and its BPF programs.
func nameKernel(targets []*target, opts *Options, funcs *functions) {
	q := &query{funcs: funcs}
	for _, t := range targets {
		if id := t.mapping.BuildID; kernelModule(t.mapping.File) == "" && id != "" && opts.KernelBuildID != "" && id != opts.KernelBuildID {
			t.unnamed(KernelReplaced, "", len(t.locations))
			continue
		}
		q.addAll([]*target{t})
	}
	if len(q.items) == 0 {
		return
	}
	want := q.addrs()
	if opts.KernelNames != nil {
		if names, err := opts.KernelNames(want); err == nil && len(names) == len(want) {
			answerKernel(q, want, names)
			return
		}
	}
	table, err := readKallsyms(want, opts)
	switch {
	case err != nil:
		q.refuse(Unnamed{Reason: NoKallsyms, Detail: err.Error()})
	case table.hidden():
		q.refuse(Unnamed{Reason: KernelHidden})
	default:
		table.answer(q, want)
	}
}

// answerKernel names the addresses by what the kernel has told.
func answerKernel(q *query, want addrs, names []string) {
	for _, it := range q.items {
		name, module, _ := strings.Cut(names[want.from(it.addr)], " [")
		mapped := kernelModule(it.target.mapping.File)
		if name == "" || mapped != "" && mapped != strings.TrimSuffix(module, "]") {
			it.target.unnamed(NotCovered, "", 1)
			continue
		}
		it.loc.Line = q.funcs.lines([]frame{q.funcs.style.frame(name)})
		it.target.count(it.loc)
	}
}

// kernelModule is the module that a mapping stands for, "" for the kernel itself.
func kernelModule(file string) string {
	if strings.HasPrefix(file, "[kernel.") || !strings.HasPrefix(file, "[") {
		return ""
	}
	return strings.Trim(file, "[]")
}

func readKallsyms(want addrs, opts *Options) (*kallsyms, error) {
	open := opts.Kallsyms
	if open == nil {
		open = openKallsyms
	}
	r, err := open()
	if err != nil {
		return nil, err
	}
	table := newKallsyms(want)
	return table, errors.Join(table.read(r), r.Close())
}

// kallsyms finds, for each wanted address, the symbol that starts nearest before it. The table has no sizes: a symbol ends
// where the next begins, and symbols of data count as ends of code.
type kallsyms struct {
	want    addrs
	nearest []kernelSymbol // i: the last symbol that starts after want[i-1] and not after want[i]
	gap     int            // the index that the last symbol fell to; most tables are nearly sorted
	nonzero bool           // at least one address wasn't zero
}

// kernelSymbol is a line of kallsyms. Its slices are only lent by the parser.
type kernelSymbol struct {
	addr   uint64
	typ    byte // as nm prints it; 0 for no symbol
	name   []byte
	module []byte // without brackets, empty for the kernel itself
}

// code says whether the symbol is of a function: local, global or weak.
func (s *kernelSymbol) code() bool {
	return s.typ == 't' || s.typ == 'T' || s.typ == 'w' || s.typ == 'W'
}

func (s *kernelSymbol) global() bool { return s.typ == 'T' || s.typ == 'W' }

func newKallsyms(want addrs) *kallsyms {
	return &kallsyms{want: want, nearest: make([]kernelSymbol, len(want))}
}

// read streams the table. Lines that aren't symbols are passed over.
func (k *kallsyms) read(r io.Reader) error {
	b := bufio.NewReaderSize(r, 64<<10)
	for {
		line, err := b.ReadSlice('\n')
		switch {
		case err == nil, err == io.EOF:
			if s, ok := parseKernelSymbol(line); ok {
				k.add(s)
			}
		case !errors.Is(err, bufio.ErrBufferFull): // a line longer than the buffer comes in parts that aren't symbols
			return err
		}
		if err == io.EOF {
			return nil
		}
	}
}

// parseKernelSymbol reads a line such as "ffffffffc0201000 t name\t[module]". It doesn't allocate: there are some 200,000.
func parseKernelSymbol(line []byte) (kernelSymbol, bool) {
	if len(line) > maxKallsymsLine {
		return kernelSymbol{}, false
	}
	addr, rest, ok := cutHex(line)
	if !ok || len(rest) < 4 || rest[0] != ' ' || rest[2] != ' ' {
		return kernelSymbol{}, false
	}
	s := kernelSymbol{addr: addr, typ: rest[1]}
	rest = bytes.TrimRight(rest[3:], "\r\n ")
	if i := bytes.IndexByte(rest, '\t'); i >= 0 {
		s.module = bytes.Trim(rest[i+1:], "[]")
		rest = rest[:i]
	}
	s.name = rest
	return s, len(s.name) > 0
}

// cutHex reads the hexadecimal number, of up to 16 digits, that p begins with.
func cutHex(p []byte) (v uint64, rest []byte, ok bool) {
	n := 0
	for n < len(p) {
		d := hexDigit(p[n])
		if d > 15 {
			break
		}
		v = v<<4 | uint64(d)
		n++
	}
	return v, p[n:], n > 0 && n <= 16
}

// hexDigit is the value of a hexadecimal digit, or more than 15.
func hexDigit(c byte) byte {
	switch {
	case c-'0' < 10:
		return c - '0'
	case c|0x20 >= 'a' && c|0x20 <= 'f':
		return c | 0x20 - 'a' + 10
	}
	return 0xff
}

// add keeps s if it is the nearest so far before an address.
func (k *kallsyms) add(s kernelSymbol) {
	if s.addr != 0 {
		k.nonzero = true
	}
	i := k.gapOf(s.addr)
	if i == len(k.want) {
		return
	}
	if near := &k.nearest[i]; s.nearer(near) {
		near.addr, near.typ = s.addr, s.typ
		near.name = append(near.name[:0], s.name...)
		near.module = append(near.module[:0], s.module...)
	}
}

// gapOf is the index of the first wanted address at or above v.
func (k *kallsyms) gapOf(v uint64) int {
	if i := k.gap; i < len(k.want) && v <= k.want[i] && (i == 0 || v > k.want[i-1]) {
		return i
	}
	k.gap = k.want.from(v)
	return k.gap
}

// nearer says whether s is to replace t, which lies before the same wanted address.
func (s *kernelSymbol) nearer(t *kernelSymbol) bool {
	switch {
	case t.typ == 0 || s.addr != t.addr:
		return t.typ == 0 || s.addr > t.addr
	case s.code() != t.code():
		return s.code()
	case s.global() != t.global():
		return s.global()
	}
	return preferName(s.name, t.name)
}

// hidden says that the kernel gave names but no addresses.
func (k *kallsyms) hidden() bool { return !k.nonzero }

func (k *kallsyms) answer(q *query, want addrs) {
	for i := 1; i < len(k.nearest); i++ {
		if k.nearest[i].typ == 0 { // no symbol starts between the two addresses
			k.nearest[i] = k.nearest[i-1]
		}
	}
	for _, it := range q.items {
		s := &k.nearest[want.from(it.addr)]
		module := kernelModule(it.target.mapping.File)
		if !s.code() || module != "" && module != string(s.module) {
			it.target.unnamed(NotCovered, "", 1)
			continue
		}
		it.loc.Line = q.funcs.lines([]frame{q.funcs.style.frame(string(s.name))})
		it.target.count(it.loc)
	}
}
