// SPDX-License-Identifier: Apache-2.0

package trace

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/bits"
	"time"

	"github.com/klauspost/compress/zstd"
)

// ErrTruncated is what Read returns where a recording without a footer ends: it was cut off. What was read before is sound.
var ErrTruncated = errors.New("the recording is cut off: its footer is missing")

// A Reader reads a recording.
type Reader struct {
	Header  Header
	Footer  Footer // once Read has returned io.EOF
	r       *bufio.Reader
	decoder *zstd.Decoder
	offset  int64  // of the next block
	block   []byte // records not read yet
	packed  []byte
	plain   []byte
	texts   []string
	last    time.Duration
	calls   uint64
	err     error
}

// NewReader reads the header.
func NewReader(r io.Reader) (*Reader, error) {
	reader := &Reader{r: bufio.NewReaderSize(r, 64<<10)}
	line, err := reader.line()
	if err != nil {
		return nil, err
	}
	if err := json.Unmarshal(line, &reader.Header); err != nil || reader.Header.Format != format {
		return nil, errNotRecording
	}
	if v := reader.Header.Version; v != version {
		return nil, fmt.Errorf("recording of version %d: want %d; record again with this assay", v, version)
	}
	reader.decoder, err = zstd.NewReader(nil, zstd.WithDecoderConcurrency(1),
		zstd.WithDecoderMaxMemory(maxPayload), zstd.WithDecoderLowmem(true))
	return reader, err
}

var errNotRecording = errors.New("not a recording of system calls: want one by assay capture syscalls")

// line reads the header's line without its end.
func (r *Reader) line() ([]byte, error) {
	var line []byte
	for len(line) < maxHeader {
		part, err := r.r.ReadSlice('\n')
		line = append(line, part...)
		if err == nil {
			r.offset = int64(len(line))
			return line[:len(line)-1], nil
		}
		if !errors.Is(err, bufio.ErrBufferFull) {
			if errors.Is(err, io.EOF) {
				return nil, errNotRecording
			}
			return nil, err
		}
		if line[0] != '{' {
			break
		}
	}
	return nil, errNotRecording
}

// Read reads the next call. It returns io.EOF after the last, ErrTruncated at a cut, and otherwise an error that says at which byte the
// file is damaged; each is final.
func (r *Reader) Read(c *Call) error {
	for r.err == nil && len(r.block) == 0 {
		at := r.offset
		if err := r.next(); err != nil {
			r.fail(at, err)
		}
	}
	if r.err != nil {
		return r.err
	}
	at := r.offset
	if err := r.record(c); err != nil {
		r.fail(at, err)
		return r.err
	}
	r.calls++
	return nil
}

func (r *Reader) fail(at int64, err error) {
	r.decoder.Close()
	r.err = err
	if !errors.Is(err, io.EOF) && !errors.Is(err, ErrTruncated) {
		r.err = fmt.Errorf("recording damaged in the block before byte %d: %w", at, err)
	}
}

// next reads a block. At the footer it returns io.EOF.
func (r *Reader) next() error {
	kind, err := r.unpack()
	if err != nil {
		return err
	}
	switch kind {
	case callsBlock:
		r.block, r.texts, r.last = r.plain, r.texts[:0], 0
		return nil
	case footerBlock:
		return r.footer()
	}
	return fmt.Errorf("kind %q of block: want C or F", kind)
}

// unpack reads a block's head and payload, and leaves the plain payload in r.plain.
func (r *Reader) unpack() (kind byte, err error) {
	var head [blockHead]byte
	if _, err := io.ReadFull(r.r, head[:]); err != nil {
		return 0, cut(err)
	}
	length := binary.LittleEndian.Uint32(head[1:])
	// zstd leaves what it can't pack as it is, with a head to each 128 KiB.
	if length > maxPayload+64 {
		return 0, fmt.Errorf("block of %d bytes: want up to %d", length, maxPayload+64)
	}
	r.packed = append(r.packed[:0], make([]byte, length)...)
	if _, err := io.ReadFull(r.r, r.packed); err != nil {
		return 0, cut(err)
	}
	r.offset += blockHead + int64(length)
	if want := binary.LittleEndian.Uint32(head[5:]); checksum(head[0], r.packed) != want {
		return 0, errors.New("the checksum is wrong")
	}
	r.plain, err = r.decoder.DecodeAll(r.packed, r.plain[:0])
	return head[0], err
}

// cut tells the end of the file from failures to read it.
func cut(err error) error {
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return ErrTruncated
	}
	return err
}

func (r *Reader) footer() error {
	if err := json.Unmarshal(r.plain, &r.Footer); err != nil {
		return fmt.Errorf("footer: %w", noEOF(err))
	}
	if err := r.Footer.check(); err != nil {
		return err
	}
	if r.Footer.Calls != r.calls {
		return fmt.Errorf("footer: %d calls, read %d", r.Footer.Calls, r.calls)
	}
	return io.EOF
}

// noEOF keeps a decoder's end of input from looking like the file's.
func noEOF(err error) error { return errors.New(err.Error()) }

// record decodes a call from the block.
func (r *Reader) record(c *Call) error {
	f := fields{r: r}
	*c = Call{}
	c.Start = r.last + time.Duration(f.int())
	c.Thread, c.Process = f.int32(), f.int32()
	c.Name = f.text()
	c.Duration, c.Result = time.Duration(f.int()), f.int()
	set := f.int()
	if bits.Len64(uint64(set)) > len(c.Args) {
		return fmt.Errorf("record: arguments %#x: want up to %d", set, len(c.Args))
	}
	for i := range c.Args {
		if set&(1<<i) != 0 {
			c.Args[i] = uint64(f.int())
		}
	}
	c.Path, c.Path2 = f.text(), f.text()
	c.FD = FDClass(f.text())
	c.Size = f.int()
	if f.err != nil {
		return f.err
	}
	r.last = c.Start
	return c.Check()
}

// fields reads the fields of a record; after an error they are all 0.
type fields struct {
	r   *Reader
	err error
}

var errShort = errors.New("record: it ends within a field")

func (f *fields) int() int64 {
	if f.err != nil {
		return 0
	}
	n, length := binary.Varint(f.r.block)
	if length <= 0 {
		f.err = errShort
		return 0
	}
	f.r.block = f.r.block[length:]
	return n
}

func (f *fields) int32() int32 {
	n := f.int()
	if int64(int32(n)) != n {
		f.err = fmt.Errorf("record: %d: want 32 bits", n)
	}
	return int32(n)
}

func (f *fields) text() string {
	n := f.int()
	known := int64(len(f.r.texts))
	switch {
	case f.err != nil:
		return ""
	case n >= 0 && n < known:
		return f.r.texts[n]
	case n != known:
		f.err = fmt.Errorf("record: text %d of %d", n, known)
		return ""
	}
	length := f.int()
	if f.err == nil && (length < 0 || length > int64(len(f.r.block))) {
		f.err = errShort
	}
	if f.err != nil {
		return ""
	}
	s := string(bytes.Clone(f.r.block[:length]))
	f.r.block = f.r.block[length:]
	f.r.texts = append(f.r.texts, s)
	return s
}
