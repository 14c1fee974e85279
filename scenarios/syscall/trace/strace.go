// SPDX-License-Identifier: Apache-2.0

package trace

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"math"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"time"
)

// A Recording is a whole recording in memory.
type Recording struct {
	Header Header
	Calls  []Call            // by start
	Lost   map[string]uint64 // calls, or of strace lines, that are not among them, by cause
	Notes  []string          // what to know of it: that it was cut off
	Strace bool              // it was read from strace's text, whose durations have strace's own work in them
}

// MaxCalls is how many calls Load reads.
const MaxCalls = 4 << 20

// Load reads a recording of `assay capture syscalls`, or what `strace -f -ttt -T` wrote, to its end or a cut. It reads up to MaxCalls calls.
func Load(r io.Reader) (*Recording, error) {
	buffered := bufio.NewReaderSize(r, 64<<10)
	if first, err := buffered.Peek(1); err == nil && first[0] != '{' {
		return parseStrace(buffered)
	}
	return loadCalls(buffered)
}

func loadCalls(r io.Reader) (*Recording, error) {
	reader, err := NewReader(r)
	if err != nil {
		return nil, err
	}
	all := &Recording{Header: reader.Header}
	for {
		var c Call
		switch err := reader.Read(&c); {
		case err == nil && len(all.Calls) == MaxCalls:
			return nil, fmt.Errorf("recording of more than %d calls: record for a shorter time", MaxCalls)
		case err == nil:
			all.Calls = append(all.Calls, c)
			continue
		case errors.Is(err, ErrTruncated):
			all.Notes = append(all.Notes, fmt.Sprintf("%v; %d calls before the cut are used", err, len(all.Calls)))
		case !errors.Is(err, io.EOF):
			return nil, err
		}
		all.Lost = reader.Footer.Lost
		all.sort()
		return all, nil
	}
}

// sort puts calls by start; those of a thread stay in their order.
func (r *Recording) sort() {
	slices.SortStableFunc(r.Calls, func(a, b Call) int { return int(min(max(a.Start-b.Start, -1), 1)) })
}

// What becomes of a line of strace's text that is no call.
const (
	lostUnreadable = "unreadable line"
	lostLong       = "line too long"
	lostNoBegin    = "resumed without a beginning"
	lostArgument   = "argument not understood, taken for 0" // the call is used all the same
	maxNamed       = 20                                     // calls with such arguments that are told by name
	maxLine        = 1 << 20
	maxOpen        = 1 << 14 // calls that are not finished
)

// A straceParser reads strace's text line by line. A line is, with parts that may be absent in [ ]:
//
//	[PID or "[pid PID]"] SECONDS.MICROSECONDS NAME(ARGUMENTS) = RESULT [<SECONDS>]
//
// or a call's first part that ends in "<unfinished ...>", or its last that begins with "<... NAME resumed>", or a signal or exit between
// "---" or "+++". The format is described in strace(1).
type straceParser struct {
	all     *Recording
	began   float64           // seconds of the epoch
	open    map[int32]partial // calls not finished, by thread
	parents map[int32]int32   // of a thread by the number of the one it is in the process of
}

type partial struct {
	start float64
	text  string
}

func parseStrace(r *bufio.Reader) (*Recording, error) {
	p := &straceParser{
		all:     &Recording{Header: Header{Arch: runtime.GOARCH}, Lost: map[string]uint64{}, Strace: true},
		open:    map[int32]partial{},
		parents: map[int32]int32{},
	}
	for {
		line, long, err := readLine(r)
		if long {
			p.all.Lost[lostLong]++
		} else if len(line) > 0 && !p.line(line) {
			p.all.Lost[lostUnreadable]++
		}
		if len(p.all.Calls) > MaxCalls {
			return nil, fmt.Errorf("recording of more than %d calls: record for a shorter time", MaxCalls)
		}
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return nil, err
		}
	}
	return p.finish()
}

// readLine reads a line without its end; of one that is too long nothing is returned.
func readLine(r *bufio.Reader) (line string, long bool, err error) {
	var text []byte
	for {
		part, err := r.ReadSlice('\n')
		if len(text)+len(part) > maxLine {
			long, text = true, nil
		} else if !long {
			text = append(text, part...)
		}
		if !errors.Is(err, bufio.ErrBufferFull) {
			return strings.TrimRight(string(text), "\r\n"), long, err
		}
	}
}

func (p *straceParser) finish() (*Recording, error) {
	for thread, part := range p.open {
		if !p.call(thread, part.start, part.text+") = ? <unfinished>") {
			p.all.Lost[lostUnreadable]++
		}
	}
	if len(p.all.Calls) == 0 {
		return nil, errors.New("neither a recording by assay capture syscalls nor text of strace -f -ttt -T")
	}
	for i := range p.all.Calls {
		c := &p.all.Calls[i]
		c.Process = p.leader(c.Thread)
		if c.Check() != nil {
			p.all.Lost[lostUnreadable]++
			c.Name = ""
		}
	}
	p.all.Calls = slices.DeleteFunc(p.all.Calls, func(c Call) bool { return c.Name == "" })
	p.all.Header.Began = time.UnixMicro(int64(p.began * 1e6)).UTC()
	p.all.sort()
	return p.all, nil
}

// leader follows threads to the one that began their process. Parents are set once each, so that a damaged file could make a ring.
func (p *straceParser) leader(thread int32) int32 {
	for range len(p.parents) {
		parent, ok := p.parents[thread]
		if !ok {
			break
		}
		thread = parent
	}
	return thread
}

// line takes a line, and says whether it could.
func (p *straceParser) line(text string) bool {
	if strings.HasPrefix(text, "strace: ") {
		return true
	}
	thread, text := cutThread(text)
	word, text, ok := strings.Cut(text, " ")
	at, err := strconv.ParseFloat(word, 64)
	if !ok || err != nil || !(at >= 0 && at < 1e12) {
		return false
	}
	text = strings.TrimLeft(text, " ")
	if p.began == 0 || at < p.began && len(p.all.Calls) == 0 {
		p.began = at
	}
	switch {
	case strings.HasPrefix(text, "--- "), strings.HasPrefix(text, "+++ "):
		return true
	case strings.HasPrefix(text, "<... "):
		return p.resume(thread, text)
	case strings.HasSuffix(text, "<unfinished ...>"):
		if len(p.open) == maxOpen && p.open[thread].text == "" {
			return false
		}
		p.open[thread] = partial{at, strings.TrimRight(strings.TrimSuffix(text, "<unfinished ...>"), " ")}
		return true
	}
	return p.call(thread, at, text)
}

// cutThread takes the number of the thread from the beginning of a line; it is 1 where there is none.
func cutThread(text string) (int32, string) {
	rest, bracket := strings.CutPrefix(text, "[pid")
	rest = strings.TrimLeft(rest, " ")
	end := strings.IndexAny(rest, " ]")
	if end < 0 {
		return 1, text
	}
	n, err := strconv.ParseInt(rest[:end], 10, 32)
	if err != nil || n < 1 {
		return 1, text
	}
	if bracket {
		end++
	}
	return int32(n), strings.TrimLeft(rest[min(end, len(rest)):], " ")
}

func (p *straceParser) resume(thread int32, text string) bool {
	name, rest, ok := strings.Cut(strings.TrimPrefix(text, "<... "), " resumed>")
	first, begun := p.open[thread]
	if !ok || !begun || !strings.HasPrefix(first.text, name+"(") {
		p.all.Lost[lostNoBegin]++
		return true
	}
	delete(p.open, thread)
	return p.call(thread, first.start, first.text+rest)
}

// call takes a whole call.
func (p *straceParser) call(thread int32, start float64, text string) bool {
	name, rest, ok := strings.Cut(text, "(")
	if !ok || !isName(name) {
		return false
	}
	arguments, rest, ok := splitArguments(rest)
	if !ok {
		return false
	}
	rest, ok = strings.CutPrefix(strings.TrimLeft(rest, " "), "= ")
	if !ok {
		return false
	}
	c := Call{Thread: thread, Name: name, Start: seconds(max(start-p.began, 0)), Duration: Unfinished}
	result, ok := c.setResult(rest)
	if !ok {
		return false
	}
	if !c.setArguments(arguments) {
		p.misunderstood(name)
	}
	if c.FD == NoFD && opens[name] && c.Result >= 0 {
		c.FD = classOf(result, c.Args[2])
	}
	p.follow(&c)
	p.all.Calls = append(p.all.Calls, c)
	return true
}

// misunderstood counts a call of which an argument wasn't understood.
func (p *straceParser) misunderstood(name string) {
	cause := name + ": " + lostArgument
	if p.all.Lost[cause] == 0 && len(p.all.Lost) >= maxNamed {
		cause = lostArgument
	}
	p.all.Lost[cause]++
}

func seconds(s float64) time.Duration { return time.Duration(math.Round(s * 1e9)) }

// setResult reads `-1 ENOENT (No such file or directory) <0.000012>`, and returns it without the time.
func (c *Call) setResult(text string) (result string, ok bool) {
	if open := strings.LastIndex(text, " <"); open >= 0 && strings.HasSuffix(text, ">") {
		inside := text[open+2 : len(text)-1]
		if s, err := strconv.ParseFloat(inside, 64); err == nil && s >= 0 && s < 1e9 {
			c.Duration = seconds(s)
			text = text[:open]
		} else if inside == "unfinished" {
			text = text[:open]
		}
	}
	word, rest, _ := strings.Cut(text, " ")
	number, _, _ := strings.Cut(word, "<")
	switch n, err := parseInteger(number); {
	case number == "?":
		c.Result = errno(rest)
	case err != nil:
		return "", false
	case int64(n) == -1 && rest != "":
		c.Result = errno(rest)
	default:
		c.Result = int64(n)
	}
	return text, true
}

// follow notes which threads are in the process of which.
func (p *straceParser) follow(c *Call) {
	const cloneThread = 0x10000
	if strings.HasPrefix(c.Name, "clone") && c.Args[0]&cloneThread != 0 && c.Result > 0 && c.Result <= math.MaxInt32 {
		if child := int32(c.Result); child != c.Thread {
			p.parents[child] = c.Thread
		}
	}
}
