// SPDX-License-Identifier: Apache-2.0

package accesslog

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"
)

// What a recording may have at most.
const (
	maxBytes    = 1 << 30
	maxRequests = 5_000_000
	maxLine     = 64 << 10
	maxPath     = 8 << 10
)

// Format says how a line is written.
type Format string

// The formats.
const (
	Log   Format = "log"   // common or combined log format
	CSV   Format = "csv"   // time,method,path,size
	Times Format = "times" // a time, or CSV with a column of that name in its heading, without one in the first column; nothing else is kept
)

// A Request is one that was recorded.
type Request struct {
	At     time.Duration // from the first
	Method string
	Path   string // and query, as it goes into a request: printable ASCII without spaces, from the slash on
	Size   int    // bytes of the answer
}

// A Recording is what was read.
type Recording struct {
	Requests []Request // in the order of their times
	Lines    int       // that aren't empty, without a heading
	Broken   int       // lines that are no request
	First    error     // of those, with its line
	Outside  int       // requests before from, or from until on
	Spread   bool      // times were whole seconds: the requests of a second have been spread evenly over it
}

// Options are what to read. Zero times cut nothing.
type Options struct {
	Format      Format
	From, Until time.Time
}

// moment is a request whose time is that of the clock.
type moment struct {
	at time.Time
	Request
}

// Read reads a recording. It fails when the reader does, when there is too much, and when nothing is left.
func Read(from io.Reader, o Options) (*Recording, error) { return read(from, o, maxBytes, maxRequests) }

func read(from io.Reader, o Options, maxBytes int64, maxRequests int) (*Recording, error) {
	r := &reader{options: o, known: map[string]string{}, all: &Recording{Spread: o.Format == Log}}
	limited := &io.LimitedReader{R: from, N: maxBytes + 1}
	lines := bufio.NewReaderSize(limited, maxLine)
	for number := 1; ; number++ {
		line, err := readLine(lines)
		if err == nil || len(line) > 0 {
			r.line(number, string(line))
		}
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return nil, err
		}
		if len(r.moments) > maxRequests {
			return nil, fmt.Errorf("more than %d requests: want fewer, or cut them by time", maxRequests)
		}
	}
	if limited.N == 0 {
		return nil, fmt.Errorf("more than %d MiB: want less", maxBytes>>20)
	}
	return r.finish()
}

// readLine returns a line without its end. One that is too long is cut, to one byte more than is allowed.
func readLine(r *bufio.Reader) ([]byte, error) {
	line, err := r.ReadSlice('\n')
	if !errors.Is(err, bufio.ErrBufferFull) {
		return []byte(strings.TrimRight(string(line), "\r\n")), err
	}
	line = append(slices.Clone(line), '.')
	for errors.Is(err, bufio.ErrBufferFull) {
		_, err = r.ReadSlice('\n')
	}
	return line, err
}

type reader struct {
	options Options
	moments []moment
	known   map[string]string // methods and paths that were seen
	column  int               // of the time, in the format of times
	all     *Recording
}

// line takes a line up.
func (r *reader) line(number int, text string) {
	if text == "" || r.all.Lines == 0 && r.heading(text) {
		return
	}
	r.all.Lines++
	m, err := r.parse(text)
	switch {
	case err != nil:
		r.all.Broken++
		if r.all.First == nil {
			r.all.First = fmt.Errorf("line %d: %w", number, err)
		}
	case !r.options.From.IsZero() && m.at.Before(r.options.From), !r.options.Until.IsZero() && !m.at.Before(r.options.Until):
		r.all.Outside++
	default:
		m.Method, m.Path = r.know(m.Method), r.know(m.Path)
		r.moments = append(r.moments, m)
	}
}

func (r *reader) parse(text string) (m moment, err error) {
	switch {
	case len(text) > maxLine:
		return m, fmt.Errorf("more than %d bytes", maxLine)
	case r.options.Format == CSV:
		m, err = parseCSV(text)
	case r.options.Format == Times:
		m.at, err = parseColumn(text, r.column)
	default:
		m, err = parseLog(text)
	}
	if err == nil {
		err = m.checkTime()
	}
	if err == nil && r.options.Format != Times {
		err = m.check()
	}
	return m, err
}

// know returns a text that doesn't keep its line in memory.
func (r *reader) know(text string) string {
	if known, ok := r.known[text]; ok {
		return known
	}
	text = strings.Clone(text)
	r.known[text] = text
	return text
}

var methods = []string{"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"}

// checkTime wants a time of which a Duration can tell how far it is from any other.
func (m *moment) checkTime() error {
	if m.at.Year() < 1970 || m.at.Year() > 2200 {
		return fmt.Errorf("time %v: want one from 1970 to 2200", m.at)
	}
	return nil
}

// check says why a request can't be sent as it was.
func (m *moment) check() error {
	switch {
	case !slices.Contains(methods, m.Method):
		return fmt.Errorf("method %.20q: want one of %s", m.Method, strings.Join(methods, ", "))
	case !strings.HasPrefix(m.Path, "/") || len(m.Path) > maxPath:
		return fmt.Errorf("path %.50q: want at most %d bytes that begin with a slash", m.Path, maxPath)
	case strings.ContainsFunc(m.Path, func(c rune) bool { return c <= ' ' || c >= 0x7f || c == '"' || c == '\\' }):
		return fmt.Errorf("path %.50q: want it as it goes into a request, with %%XX for what isn't printable", m.Path)
	}
	return nil
}

// finish sorts the requests, since servers write them when they are answered, and has their times count from the first.
func (r *reader) finish() (*Recording, error) {
	if len(r.moments) == 0 {
		err := fmt.Errorf("no request in %d lines, of which %d are broken and %d outside of from and until", r.all.Lines, r.all.Broken, r.all.Outside)
		if r.all.First != nil {
			err = fmt.Errorf("%w; %w", err, r.all.First)
		}
		return nil, err
	}
	slices.SortStableFunc(r.moments, func(a, b moment) int { return a.at.Compare(b.at) })
	first := r.moments[0].at
	for i := range r.moments {
		m := &r.moments[i]
		m.At = m.at.Sub(first)
	}
	r.all.Requests = make([]Request, len(r.moments))
	for i, m := range r.moments {
		r.all.Requests[i] = m.Request
	}
	if r.all.Spread {
		spread(r.all.Requests)
	}
	return r.all, nil
}

// spread has the requests of each second come evenly in it.
func spread(requests []Request) {
	for begin := 0; begin < len(requests); {
		end := begin
		for end < len(requests) && requests[end].At == requests[begin].At {
			end++
		}
		for i := begin; i < end; i++ {
			requests[i].At += time.Duration(i-begin) * time.Second / time.Duration(end-begin)
		}
		begin = end
	}
}
