// SPDX-License-Identifier: Apache-2.0

package accesslog

import (
	"fmt"
	"io"
	"strings"
	"testing"
	"time"
)

// show writes a recording, a request a line.
func show(r *Recording, err error) string {
	if err != nil {
		return "error: " + err.Error()
	}
	var b strings.Builder
	for _, q := range r.Requests {
		fmt.Fprintf(&b, "%v %s %s %d\n", q.At, q.Method, q.Path, q.Size)
	}
	fmt.Fprintf(&b, "%d lines, %d broken, %d outside, spread %t, %v", r.Lines, r.Broken, r.Outside, r.Spread, r.First)
	return b.String()
}

// The first line is the example in Apache's manual.
const apache = `127.0.0.1 - frank [10/Oct/2000:13:55:36 -0700] "GET /apache_pb.gif HTTP/1.0" 200 2326
127.0.0.1 - frank [10/Oct/2000:13:55:38 -0700] "GET /later?x=[1]&y=%22 HTTP/1.1" 200 1 "http://www.example.com/start.html" "Mozilla/4.08 [en] (Win98; I ;Nav)"
::1 - - [10/Oct/2000:22:55:37 +0200] "HEAD /a HTTP/2.0" 304 -
::1 - - [10/Oct/2000:22:55:37 +0200] "POST /b HTTP/1.1" 404 0
`

func TestRead(t *testing.T) {
	check := func(text string, o Options, want string) {
		t.Helper()
		if got := show(Read(strings.NewReader(text), o)); got != want {
			t.Errorf("%.300q:\n got %s\nwant %s", text, got, want)
		}
	}
	log, table := Options{Format: Log}, Options{Format: CSV}
	at := func(text string) time.Time {
		t.Helper()
		when, err := ParseTime(text)
		if err != nil {
			t.Fatal(err)
		}
		return when
	}
	check(apache, log, `0s GET /apache_pb.gif 2326
1s HEAD /a 0
1.5s POST /b 0
2s GET /later?x=[1]&y=%22 1
4 lines, 0 broken, 0 outside, spread true, <nil>`)
	check(apache, Options{Format: Log, From: at("10/Oct/2000:13:55:37 -0700"), Until: at("2000-10-10T20:55:38Z")}, `0s HEAD /a 0
500ms POST /b 0
4 lines, 0 broken, 2 outside, spread true, <nil>`)
	check("x\r\n\r\n"+apache[:86]+"\n"+`h - - [x] "GET / HTTP/1.1" 200 1`, log, `0s GET /apache_pb.gif 2326
3 lines, 2 broken, 0 outside, spread true, line 1: `+errLog.Error())
	check("Time,Method,Path,Size\n10.25,GET,/a,5\n\"10\",PUT,\"/b,c\",-\n2000-10-10T20:55:36.5Z,GET,/,1\n1,GET,/\n", table, `0s PUT /b,c 0
250ms GET /a 5
269780h55m26.5s GET / 1
4 lines, 1 broken, 0 outside, spread false, line 5: want time,method,path,size`)
	check(strings.Repeat("x", maxLine+1)+"\n1,GET,/,1", table, "0s GET / 1\n2 lines, 1 broken, 0 outside, spread false, line 1: more than 65536 bytes")
	times := Options{Format: Times}
	check("0.5\n2\n\n1.25,x\nsoon\n-1\n2200-12-31T00:00:00Z\n", times, `0s   0
750ms   0
1.5s   0
2024879h59m59.5s   0
6 lines, 2 broken, 0 outside, spread false, line 5: time "soon": want one such as 24/Nov/2026:17:00:00 +0000, 2026-11-24T17:00:00.5Z or 1795539600.5`)
	check("user,TIME\nx, 7\nx\ny,5\n", times, "0s   0\n2s   0\n3 lines, 1 broken, 0 outside, spread false, line 3: want a time in column 2")
	check("", log, "error: no request in 0 lines, of which 0 are broken and 0 outside of from and until")
	check("1,GET,x,1", table, "error: no request in 1 lines, of which 1 are broken and 0 outside of from and until; "+
		`line 1: path "x": want at most 8192 bytes that begin with a slash`)
	for text, want := range map[string]string{
		"1,get,/,1":              `method "get"`,
		"1,GET,//é,1":            `want it as it goes into a request`,
		"1,GET,/a b,1":           `want it as it goes into a request`,
		"1,GET,\"/a\"\"\",1":     `want it as it goes into a request`,
		"1,GET,/,x":              `size "x": want bytes`,
		"1,GET,/,-1":             `size "-1": want bytes`,
		"1,GET,/,99999999999999": `want bytes`,
		"now,GET,/,1":            `time "now": want one such as`,
		"NaN,GET,/,1":            `time "NaN"`,
		"1e300,GET,/,1":          `time "1e300"`,
		"1,GET,\"/,1":            "want time,method,path,size",
	} {
		if got := show(Read(strings.NewReader(text), table)); !strings.Contains(got, want) {
			t.Errorf("%q: %s, want %s", text, got, want)
		}
	}
}

func TestTooMuch(t *testing.T) {
	check := func(from io.Reader, want string) {
		t.Helper()
		if got := show(read(from, Options{Format: CSV}, 1<<20, 100)); got != want {
			t.Errorf("%s, want %s", got, want)
		}
	}
	check(strings.NewReader(strings.Repeat("1,GET,/,1\n", 101)), "error: more than 100 requests: want fewer, or cut them by time")
	check(strings.NewReader(strings.Repeat("#", 1<<20+1)), "error: more than 1 MiB: want less")
	check(io.MultiReader(strings.NewReader("1,GET,/,1\n"), failing{}), "error: out of paper")
}

type failing struct{}

func (failing) Read([]byte) (int, error) { return 0, fmt.Errorf("out of paper") }

// FuzzRead never panics. What it accepts is in order and can be sent, and no line is lost.
func FuzzRead(f *testing.F) {
	f.Add(apache, false)
	f.Add("time,method,path,size\n1.5,GET,/,3\n2,PUT,\"/a\",-\n", true)
	f.Fuzz(func(t *testing.T, text string, table bool) {
		format := map[bool]Format{true: CSV, false: Log}[table]
		r, err := Read(strings.NewReader(text), Options{Format: format})
		if err != nil {
			return
		}
		if len(r.Requests)+r.Broken != r.Lines || r.Requests[0].At != 0 {
			t.Errorf("%d requests and %d broken of %d lines", len(r.Requests), r.Broken, r.Lines)
		}
		for i, q := range r.Requests {
			if i > 0 && q.At < r.Requests[i-1].At || q.Size < 0 || strings.ContainsAny(q.Path+q.Method, " \r\n\t\"\\") {
				t.Errorf("request %d: %+v", i, q)
			}
		}
	})
}
