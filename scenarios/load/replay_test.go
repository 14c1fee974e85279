// SPDX-License-Identifier: Apache-2.0

package load

import (
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"
)

func writeLog(t *testing.T, name, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// The last comes before the one above it, as where answers were written when they were done.
const recorded = "time,method,path,size\n100.0,GET,/a?x=1,10\nrubbish\n100.4,HEAD,/b,2000\n101.6,POST,//d,0\n100.8,GET,/c,5\n"

// TestReplay wants a server to see the requests of a log in their order, no earlier than they are due at twice the speed.
func TestReplay(t *testing.T) {
	var mu sync.Mutex
	var seen []string
	var times []time.Time
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		mu.Lock()
		defer mu.Unlock()
		seen, times = append(seen, r.Method+" "+r.RequestURI), append(times, time.Now())
		w.Header().Set("Content-Length", "4")
		w.Write([]byte("here")) //nolint:errcheck // to a HEAD it must not, and the client would see
	}))
	defer server.Close()
	begin := time.Now()
	o := run(t, 10*time.Second, "load/replay", "file="+writeLog(t, "log.csv", recorded), "url="+server.URL, "methods=all", "speed=2", "connections=2")
	if got, want := strings.Join(seen, ", "), "GET /a?x=1, HEAD /b, GET /c, POST //d"; got != want {
		t.Fatalf("%s, want %s", got, want)
	}
	for i, at := range []time.Duration{0, 200 * ms, 400 * ms, 800 * ms} {
		if since := times[i].Sub(begin); since < at || since > at+time.Second {
			t.Errorf("request %d came after %v, want %v", i, since, at)
		}
	}
	if o.Operations != 4 || o.Errors != 0 || o.Values["broken_count"] != 1 || o.Elapsed > 5*time.Second {
		t.Errorf("%d operations, %d errors, %v broken in %v: %q", o.Operations, o.Errors, o.Values["broken_count"], o.Elapsed, o.Notes)
	}
	notes := strings.Join(o.Notes, "\n")
	if !strings.Contains(notes, "1 of 5 lines are no requests and were left out; the first is line 3") || !strings.Contains(notes, "the log ended after 800ms") {
		t.Errorf("notes: %s", notes)
	}
}

// TestReplaySafe wants a server that isn't ours to be asked for nothing that could change it, unless that is wanted.
func TestReplaySafe(t *testing.T) {
	var mu sync.Mutex
	var seen []string
	server := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		mu.Lock()
		defer mu.Unlock()
		seen = append(seen, r.Method)
	}))
	defer server.Close()
	log := "1,POST,/,1\n2,GET,/,1\n3,DELETE,/,1\n4,HEAD,/,1\n5,PUT,/,1\n6,PATCH,/,1\n7,OPTIONS,/,1\n"
	o := run(t, 10*time.Second, "load/replay", "file="+writeLog(t, "log.csv", log), "url="+server.URL, "speed=100", "connections=1")
	if got := strings.Join(seen, " "); got != "GET HEAD OPTIONS" || o.Operations != 3 || o.Values["unsafe_count"] != 4 {
		t.Errorf("%s; %d operations, %v left out, want GET HEAD OPTIONS, 3 and 4", got, o.Operations, o.Values["unsafe_count"])
	}
	if notes := strings.Join(o.Notes, "\n"); !strings.Contains(notes, "4 requests could change something at the url and were left out; methods=all sends them") {
		t.Errorf("notes: %s", notes)
	}
	k, v := values(t, "load/replay", "file="+writeLog(t, "log.csv", "1,DELETE,/,1\n"), "url="+server.URL)
	w, err := k.New(v)
	if err != nil {
		t.Fatal(err)
	}
	if err := w.Prepare(t.Context()); err == nil || !strings.Contains(err.Error(), "all 1 requests could change something at the url: want methods=all") {
		t.Errorf("%v, want that nothing is left to send", err)
	}
}

// TestReplayBuiltIn wants answers as long as those of the log: 2010 bytes, of which HEAD has none.
func TestReplayBuiltIn(t *testing.T) {
	o := run(t, 10*time.Second, "load/replay", "speed=100", "file="+writeLog(t, "log.csv", "1,GET,/,70000\n2,HEAD,/,50000\n3,PUT,/,20\n"))
	if got := o.Values["received_bytes"]; o.Operations != 3 || o.Errors != 0 || got < 70020 || got > 71000 {
		t.Errorf("%d operations, %d errors, received %v bytes, want 3, 0, 70020 and headers: %q", o.Operations, o.Errors, got, o.Notes)
	}
}

// TestReplayCut ends a run before the log, and cuts the log by its times.
func TestReplayCut(t *testing.T) {
	log := "file=" + writeLog(t, "log.csv", recorded)
	if o := run(t, 100*ms, "load/replay", log, "speed=5"); o.Operations != 2 {
		t.Errorf("%d operations, want those at 0 and 80 ms: %q", o.Operations, o.Notes)
	}
	o := run(t, 10*time.Second, "load/replay", log, "speed=100", "from=100.4", "until=101")
	if o.Operations != 2 || o.Values["outside_count"] != 2 {
		t.Errorf("%d operations, %v outside, want 2 and 2: %q", o.Operations, o.Values["outside_count"], o.Notes)
	}
}

func TestReplayRefused(t *testing.T) {
	refused(t, "parameter file: want", "load/replay")
	refused(t, "parameter from: time", "load/replay", "file=x", "from=noon")
	refused(t, "from 2 is not before until 2", "load/replay", "file=x", "from=2", "until=2")
	refused(t, "only this machine may be loaded", "load/replay", "file=x", "url=http://example.com")
	check := func(want, file string, params ...string) {
		t.Helper()
		k, v := values(t, "load/replay", append(params, "file="+file)...)
		w, err := k.New(v)
		if err != nil {
			t.Fatal(err)
		}
		if err := w.Prepare(t.Context()); err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "\n") {
			t.Errorf("%s: %v, want one line with %q", file, err, want)
		}
		if err := w.Close(); err != nil {
			t.Error(err)
		}
	}
	check("no such file", filepath.Join(t.TempDir(), "none"))
	check("is a directory", t.TempDir())
	check("no request in 2 lines, of which 2 are broken", writeLog(t, "access.log", "x\ny\n"))
	check("4 outside of from and until", writeLog(t, "log.csv", recorded), "from=200")
}
