// SPDX-License-Identifier: Apache-2.0

package load

import (
	"bufio"
	"bytes"
	"fmt"
	"strconv"
)

// A respWriter writes commands in Redis's protocol, RESP2 (https://redis.io/docs/latest/develop/reference/protocol-spec): an array of
// words, each after its length.
type respWriter struct {
	text  []byte
	count int // commands
}

func (w *respWriter) reset() { w.text, w.count = w.text[:0], 0 }

func (w *respWriter) add(command string, args ...[]byte) {
	w.header('*', 1+len(args))
	w.header('$', len(command))
	w.text = append(append(w.text, command...), '\r', '\n')
	for _, arg := range args {
		w.header('$', len(arg))
		w.text = append(append(w.text, arg...), '\r', '\n')
	}
	w.count++
}

func (w *respWriter) header(sign byte, n int) {
	w.text = append(strconv.AppendInt(append(w.text, sign), int64(n), 10), '\r', '\n')
}

// readReplies reads the replies to some commands. If the server refused one, the others are read all the same.
func readReplies(r *bufio.Reader, count int) error {
	var refused error
	for range count {
		refusal, err := readReply(r)
		if err != nil {
			return err
		}
		if refusal != nil && refused == nil {
			refused = refusal
		}
	}
	return refused
}

// readReply reads a reply to a command that has to do with one key: a status, a number, a value or that there is none. It is a refusal, or
// err says what is broken.
func readReply(r *bufio.Reader) (refused, err error) {
	line, err := r.ReadSlice('\n')
	if err != nil {
		return nil, err
	}
	line, ok := bytes.CutSuffix(line, []byte("\r\n"))
	if !ok || len(line) == 0 {
		return nil, fmt.Errorf("reply %q: want a line of RESP", line)
	}
	switch line[0] {
	case '+', ':':
		return nil, nil
	case '-':
		return refusal(line[1:]), nil
	case '$':
		return nil, skipValue(r, string(line[1:]))
	}
	return nil, fmt.Errorf("reply %q: want a status, a number or a value", line)
}

// skipValue reads a value of a length; that of no value is -1.
func skipValue(r *bufio.Reader, length string) error {
	n, err := strconv.Atoi(length)
	switch {
	case err != nil || n < -1 || n > maxAnswer:
		return fmt.Errorf("reply: length %q: want -1 to %d", length, maxAnswer)
	case n == -1:
		return nil
	}
	if _, err := r.Discard(n); err != nil {
		return err
	}
	var end [2]byte
	for i := range end {
		if end[i], err = r.ReadByte(); err != nil {
			return err
		}
	}
	if end != [2]byte{'\r', '\n'} {
		return fmt.Errorf("reply: %q after a value: want the end of the line", end)
	}
	return nil
}
