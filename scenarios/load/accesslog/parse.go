// SPDX-License-Identifier: Apache-2.0

package accesslog

import (
	"encoding/csv"
	"errors"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"
)

// logTime is how log formats write times.
const logTime = "02/Jan/2006:15:04:05 -0700"

// ParseTime reads a time as logs write it, as RFC 3339 does, or as seconds since 1970, of which a part may be told.
func ParseTime(text string) (time.Time, error) {
	if t, err := time.Parse(logTime, text); err == nil {
		return t, nil
	}
	if t, err := time.Parse(time.RFC3339Nano, text); err == nil {
		return t, nil
	}
	seconds, err := strconv.ParseFloat(text, 64)
	if err != nil || !(math.Abs(seconds) < 1e11) { // beyond, a time isn't exact to the microsecond, nor anyone's
		return time.Time{}, fmt.Errorf("time %.50q: want one such as 24/Nov/2026:17:00:00 +0000, 2026-11-24T17:00:00.5Z or 1795539600.5", text)
	}
	whole, part := math.Modf(seconds)
	return time.Unix(int64(whole), int64(math.Round(part*1e6))*1000), nil
}

var errLog = errors.New(`want HOST IDENT USER [TIME] "METHOD PATH HTTP/1.1" STATUS BYTES`)

// parseLog reads a line in the common log format. What comes after it, as in the combined one, doesn't matter.
func parseLog(line string) (m moment, err error) {
	_, rest, opened := strings.Cut(line, "[")
	text, rest, closed := strings.Cut(rest, `] "`)
	request, rest, quoted := strings.Cut(rest, `" `)
	if !opened || !closed || !quoted {
		return m, errLog
	}
	if m.at, err = time.Parse(logTime, text); err != nil {
		return m, fmt.Errorf("time %.50q: want one such as 24/Nov/2026:17:00:00 +0000", text)
	}
	words, numbers := strings.Split(request, " "), strings.Fields(rest)
	if len(words) != 3 || !strings.HasPrefix(words[2], "HTTP/") || len(numbers) < 2 {
		return m, errLog
	}
	m.Method, m.Path = words[0], words[1]
	m.Size, err = parseSize(numbers[1])
	return m, err
}

// parseSize reads bytes; a server that sent no body may have written a dash.
func parseSize(text string) (int, error) {
	if text == "-" {
		return 0, nil
	}
	n, err := strconv.ParseUint(text, 10, 40)
	if err != nil {
		return 0, fmt.Errorf("size %.20q: want bytes", text)
	}
	return int(n), nil
}

// heading says whether a line names columns, and of times finds theirs.
func (r *reader) heading(line string) bool {
	switch r.options.Format {
	case CSV:
		return strings.HasPrefix(strings.ToLower(line), "time,")
	case Times:
		if i := slices.Index(strings.Split(strings.ToLower(line), ","), "time"); i >= 0 {
			r.column = i
			return true
		}
	}
	return false
}

// parseColumn reads the time in a column of CSV.
func parseColumn(line string, column int) (time.Time, error) {
	r := csv.NewReader(strings.NewReader(line))
	cells, err := r.Read()
	if err != nil || len(cells) <= column {
		return time.Time{}, fmt.Errorf("want a time in column %d", column+1)
	}
	return ParseTime(strings.TrimSpace(cells[column]))
}

func parseCSV(line string) (m moment, err error) {
	r := csv.NewReader(strings.NewReader(line))
	r.FieldsPerRecord = 4
	cells, err := r.Read()
	if err != nil {
		return m, errors.New("want time,method,path,size")
	}
	m.Method, m.Path = cells[1], cells[2]
	if m.at, err = ParseTime(cells[0]); err != nil {
		return m, err
	}
	m.Size, err = parseSize(cells[3])
	return m, err
}
