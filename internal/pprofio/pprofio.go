// SPDX-License-Identifier: Apache-2.0

// Package pprofio is the one place where profiles leave and enter the program.
//
// Write exists because profile.Profile.Write doesn't validate: a profile that refers to a mapping it doesn't hold is written without
// a word and refused by whoever opens it. Here a profile is made readable first (see clean), then checked, and only then encoded, and
// each error on the way to the disk is returned.
//
// Read exists because profile.Parse decompresses whatever it is given: a file of a megabyte can ask for a gigabyte.
//
// One trap is left to the callers: google/pprof reads a numeric label of 0 that has no unit as no label, so a
// label where 0 means something (a CPU) needs a NumUnit.
package pprofio

import (
	"bufio"
	"bytes"
	"cmp"
	"compress/gzip"
	"errors"
	"fmt"
	"io"

	"github.com/google/pprof/profile"

	"github.com/assaylab/assay/internal/atomicfile"
)

// MaxBytes bounds the size of a profile that Read takes, before and after decompression. A machine with 100,000 distinct stacks of 50 frames
// makes about 30 MB.
const MaxBytes = 128 << 20

// ErrTooLarge says that a profile is over MaxBytes.
var ErrTooLarge = fmt.Errorf("more than %d MiB uncompressed", MaxBytes>>20)

// Write validates p and writes it to w, gzip-compressed. It changes p where clean says so. An invalid profile leaves w untouched.
func Write(w io.Writer, p *profile.Profile) error {
	if err := prepare(p); err != nil {
		return err
	}
	zw, err := gzip.NewWriterLevel(w, gzip.BestSpeed)
	if err != nil {
		return err
	}
	if err := cmp.Or(p.WriteUncompressed(zw), zw.Close()); err != nil {
		return fmt.Errorf("profile: %w", err)
	}
	return nil
}

// WriteFile writes p to path as Write does, whole or not at all: see atomicfile for what happens at path.
func WriteFile(path string, p *profile.Profile) error {
	if err := prepare(p); err != nil { // before there is a temporary file
		return fmt.Errorf("write %s: %w", path, err)
	}
	return atomicfile.Write(path, 0o644, func(w io.Writer) error { return Write(w, p) })
}

func prepare(p *profile.Profile) error {
	if err := p.CheckValid(); err != nil {
		return fmt.Errorf("invalid profile: %w", err)
	}
	for i, s := range p.Sample {
		for key, units := range s.NumUnit {
			if len(units) != 0 && len(units) != len(s.NumLabel[key]) { // the encoder would panic
				return fmt.Errorf("invalid profile: sample %d has %d values and %d units for label %q", i, len(s.NumLabel[key]), len(units), key)
			}
		}
	}
	clean(p)
	return nil
}

// Read parses a pprof profile, gzip-compressed or not, and validates it. The input may come from anyone: no more than MaxBytes of it
// are taken. The text formats that came before pprof's protocol buffer are not read.
func Read(r io.Reader) (*profile.Profile, error) { return read(r, MaxBytes) }

func read(r io.Reader, limit int64) (p *profile.Profile, err error) {
	data, err := inflate(r, limit)
	if err != nil {
		return nil, fmt.Errorf("read profile: %w", err)
	}
	defer func() {
		if cause := recover(); cause != nil { // the decoder of a format that anyone can write to
			p, err = nil, fmt.Errorf("read profile: malformed: %v", cause)
		}
	}()
	p, err = profile.ParseUncompressed(data)
	if err != nil {
		return nil, fmt.Errorf("read profile: not a pprof profile: %w", err)
	}
	if err := p.CheckValid(); err != nil {
		return nil, fmt.Errorf("read profile: invalid: %w", err)
	}
	return p, nil
}

// inflate returns all of r, decompressed if it is compressed.
func inflate(r io.Reader, limit int64) ([]byte, error) {
	buffered := bufio.NewReader(r)
	magic, err := buffered.Peek(2)
	switch {
	case errors.Is(err, io.EOF):
		return nil, errors.New("empty or cut short")
	case err != nil:
		return nil, err
	case !bytes.Equal(magic, []byte{0x1f, 0x8b}):
		return readAll(buffered, limit)
	}
	zr, err := gzip.NewReader(buffered)
	if err != nil {
		return nil, err
	}
	data, err := readAll(zr, limit)
	return data, cmp.Or(err, zr.Close())
}

func readAll(r io.Reader, limit int64) ([]byte, error) {
	data, err := io.ReadAll(io.LimitReader(r, limit+1))
	if err == nil && int64(len(data)) > limit {
		err = ErrTooLarge
	}
	return data, err
}
