// SPDX-License-Identifier: Apache-2.0

package trace

import (
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"time"

	"github.com/klauspost/compress/zstd"
)

const (
	callsBlock  = 'C'
	footerBlock = 'F'
	blockHead   = 9
	// A block ends with the record that fills it, so that it may be longer by one record: two paths and some numbers.
	fullBlock  = 128 << 10
	maxPayload = fullBlock + 3*MaxPath
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// A Writer writes a recording. It is not for several goroutines at a time.
type Writer struct {
	w       io.Writer
	encoder *zstd.Encoder
	block   []byte // records not written yet
	packed  []byte
	texts   map[string]uint64 // of the block
	last    time.Duration     // start of the record before
	calls   uint64
	err     error // of an earlier write
}

// NewWriter writes the header. It sets the header's format and version.
func NewWriter(w io.Writer, h Header) (*Writer, error) {
	h.Format, h.Version = format, version
	line, err := json.Marshal(h)
	if err != nil {
		return nil, fmt.Errorf("header: %w", err)
	}
	if len(line) >= maxHeader {
		return nil, fmt.Errorf("header of %d bytes: want up to %d; record a command with fewer arguments", len(line), maxHeader)
	}
	encoder, err := zstd.NewWriter(nil, zstd.WithEncoderConcurrency(1), zstd.WithEncoderLevel(zstd.SpeedFastest),
		zstd.WithWindowSize(fullBlock), zstd.WithLowerEncoderMem(true))
	if err != nil {
		return nil, err
	}
	if _, err := w.Write(append(line, '\n')); err != nil {
		return nil, err
	}
	return &Writer{w: w, encoder: encoder, texts: map[string]uint64{}}, nil
}

// Write adds a call; its error is either Check's, which leaves the call out, or an earlier or this write's, which is final.
func (w *Writer) Write(c *Call) error {
	if w.err != nil {
		return w.err
	}
	if err := c.Check(); err != nil {
		return err
	}
	w.add(c)
	w.calls++
	if len(w.block) >= fullBlock {
		return w.Flush()
	}
	return nil
}

func (w *Writer) add(c *Call) {
	w.int(int64(c.Start - w.last))
	w.last = c.Start
	w.int(int64(c.Thread))
	w.int(int64(c.Process))
	w.text(c.Name)
	w.int(int64(c.Duration))
	w.int(c.Result)
	var set int64
	for i, a := range c.Args {
		if a != 0 {
			set |= 1 << i
		}
	}
	w.int(set)
	for _, a := range c.Args {
		if a != 0 {
			w.int(int64(a))
		}
	}
	w.text(c.Path)
	w.text(c.Path2)
	w.text(string(c.FD))
	w.int(c.Size)
}

func (w *Writer) int(n int64) { w.block = binary.AppendVarint(w.block, n) }

func (w *Writer) text(s string) {
	n, known := w.texts[s]
	if !known {
		n = uint64(len(w.texts))
		w.texts[s] = n
	}
	w.int(int64(n))
	if !known {
		w.int(int64(len(s)))
		w.block = append(w.block, s...)
	}
}

// Flush writes what Write keeps back until a block is full.
func (w *Writer) Flush() error {
	if w.err != nil || len(w.block) == 0 {
		return w.err
	}
	w.writeBlock(callsBlock, w.block)
	w.block, w.last = w.block[:0], 0
	clear(w.texts)
	return w.err
}

func (w *Writer) writeBlock(kind byte, payload []byte) {
	w.packed = append(w.packed[:0], make([]byte, blockHead)...)
	w.packed = w.encoder.EncodeAll(payload, w.packed)
	w.packed[0] = kind
	binary.LittleEndian.PutUint32(w.packed[1:], uint32(len(w.packed)-blockHead))
	binary.LittleEndian.PutUint32(w.packed[5:], checksum(kind, w.packed[blockHead:]))
	_, w.err = w.w.Write(w.packed)
}

func checksum(kind byte, payload []byte) uint32 {
	return crc32.Update(crc32.Checksum([]byte{kind}, castagnoli), castagnoli, payload)
}

// Close writes what is left and the footer, with how many calls were lost by which cause. It doesn't close the underlying writer.
func (w *Writer) Close(lost map[string]uint64) error {
	defer w.encoder.Close() // of an encoder without a stream: nothing to write
	if err := w.Flush(); err != nil {
		return err
	}
	f := Footer{Calls: w.calls, Lost: lost}
	if err := f.check(); err != nil {
		return err
	}
	text, err := json.Marshal(f)
	if err != nil {
		return fmt.Errorf("footer: %w", err)
	}
	w.writeBlock(footerBlock, text)
	if w.err == nil {
		w.err = errClosed
		return nil
	}
	return w.err
}

var errClosed = errors.New("the recording is closed")
