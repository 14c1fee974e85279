// SPDX-License-Identifier: Apache-2.0

package result

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
)

// maxLine is the most bytes of a line. A record with a histogram has some ten thousand.
const maxLine = 16 << 20

// The types of lines.
const (
	typeRecord      = "record"
	typeEnvironment = "environment"
)

// Contents are what a file of JSON lines holds, in its order.
type Contents struct {
	Environments []Environment
	Records      []Record
	// Cut is how many bytes after the last whole line were left out: a crash or a full disk ended the writing there. 0 is a good end.
	Cut int64

	end    int64   // of the last whole line
	starts []int64 // of the line of each record
}

// ReadFile reads the JSON lines at path, see [Read]. The file is left as it is.
func ReadFile(path string) (*Contents, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err // names the file
	}
	defer f.Close()
	c, err := Read(f)
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", path, err)
	}
	return c, nil
}

// Read reads JSON lines: one record or environment a line, told apart by its "type". What follows the last newline was not written to its
// end; it is left out and counted in Cut. Any other line that is not a good one is an error that names it: of a higher [Version], of another
// type, not JSON, not passed by Check, longer than 16 MiB. Members that this version doesn't know are skipped.
func Read(r io.Reader) (*Contents, error) {
	c := &Contents{}
	in := bufio.NewReaderSize(r, 64<<10)
	for number := 1; ; number++ {
		line, err := readLine(in)
		switch {
		case errors.Is(err, io.EOF):
			c.Cut = int64(len(line))
			return c, nil
		case err == nil:
			err = c.add(line)
		}
		if err != nil {
			return nil, fmt.Errorf("line %d: %w", number, err)
		}
	}
}

// readLine returns a line with its newline, or io.EOF and what there is without one.
func readLine(in *bufio.Reader) ([]byte, error) {
	var line []byte
	for {
		part, err := in.ReadSlice('\n')
		line = append(line, part...)
		if len(line) > maxLine {
			return nil, fmt.Errorf("longer than %d bytes", maxLine)
		}
		if !errors.Is(err, bufio.ErrBufferFull) {
			return line, err
		}
	}
}

// A head is what each line has beside its content.
type head struct {
	Type    string `json:"type"`
	Version int    `json:"version"`
}

func (c *Contents) add(line []byte) error {
	start := c.end
	c.end += int64(len(line))
	if len(bytes.TrimSpace(line)) == 0 {
		return nil
	}
	var h head
	if err := json.Unmarshal(line, &h); err != nil {
		return plain(err)
	}
	switch {
	case h.Version > Version:
		return fmt.Errorf("version %d is newer than what this assay reads (%d): update assay", h.Version, Version)
	case h.Type == typeRecord:
		return c.addRecord(line, start)
	case h.Type == typeEnvironment:
		return c.addEnvironment(line)
	}
	return fmt.Errorf("type %s, want %s or %s", shorten(h.Type), typeRecord, typeEnvironment)
}

func (c *Contents) addRecord(line []byte, start int64) error {
	var r Record
	if err := json.Unmarshal(line, &r); err != nil {
		return plain(err)
	}
	if err := r.Check(); err != nil {
		return err
	}
	c.Records = append(c.Records, r)
	c.starts = append(c.starts, start)
	return nil
}

func (c *Contents) addEnvironment(line []byte) error {
	var e Environment
	if err := json.Unmarshal(line, &e); err != nil {
		return plain(err)
	}
	if err := e.Check(); err != nil {
		return err
	}
	c.Environments = append(c.Environments, e)
	return nil
}

// plain says what is wrong with JSON in our users' words.
func plain(err error) error {
	var syntax *json.SyntaxError
	var mismatch *json.UnmarshalTypeError
	switch {
	case errors.As(err, &syntax):
		return fmt.Errorf("no JSON at byte %d: %w", syntax.Offset, err)
	case errors.As(err, &mismatch):
		return fmt.Errorf("%s: a %s where another type is needed", mismatch.Field, mismatch.Value)
	}
	return err
}

// line is r as one line, newline included.
func (r *Record) line() ([]byte, error) {
	if err := r.Check(); err != nil {
		return nil, err
	}
	return marshalLine(struct {
		Type string `json:"type"`
		*Record
	}{typeRecord, r})
}

// line is e as one line, newline included.
func (e *Environment) line() ([]byte, error) {
	if err := e.Check(); err != nil {
		return nil, err
	}
	return marshalLine(struct {
		head
		*Environment
	}{head{typeEnvironment, Version}, e})
}

func marshalLine(v any) ([]byte, error) {
	text, err := json.Marshal(v)
	if err != nil {
		return nil, err
	}
	if len(text) >= maxLine {
		return nil, fmt.Errorf("longer than %d bytes as a line", maxLine)
	}
	return append(text, '\n'), nil
}
