// SPDX-License-Identifier: Apache-2.0

package load

import (
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

func TestLoopbackOnly(t *testing.T) {
	for _, url := range []string{
		"http://example.com", "http://10.0.0.1", "http://0.0.0.0:80", "http://127.0.0.1@example.com/", "http://localhost.example.com",
		"http://127.1", "http://[::]:80", "http://[fe80::1]", "http://2130706433", "http://127.0.0.1.nip.io",
	} {
		refused(t, "only this machine may be loaded", "load/http", "url="+url)
	}
	for _, url := range []string{"https://localhost", "localhost:80", "127.0.0.1", "http://", "ftp://127.0.0.1", "http://%zz"} {
		refused(t, "want http://127.0.0.1:PORT", "load/http", "url="+url)
	}
	for _, url := range []string{"http://127.0.0.1:1", "http://127.8.8.8", "http://[::1]:80/x", "http://LocalHost:8080", "http://[::ffff:127.0.0.1]:80"} {
		k, v := values(t, "load/http", "url="+url)
		if _, err := k.New(v); err != nil {
			t.Errorf("%s: %v", url, err)
		}
	}
}

func TestRefused(t *testing.T) {
	refused(t, "begins with a slash", "load/http", "path=x")
	refused(t, "begins with a slash", "load/http", "path=//example.com/x")
	refused(t, "want the method POST or PUT", "load/http", "body_size=10")
	refused(t, "parameter steps", "load/http", "arrivals=steps", "steps=fast")
	refused(t, "want at most", "load/http", "arrivals=steps", "steps=1e9@1s")
	refused(t, "want it shorter", "load/service", "stall_every=1s", "stall_for=1s")
}

// TestRequests checks what arrives at a server that isn't ours, and that each arrival is one request.
func TestRequests(t *testing.T) {
	var requests atomic.Int64
	var server *httptest.Server
	server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		requests.Add(1)
		body, err := io.ReadAll(r.Body)
		if err != nil || len(body) != 10<<10 || r.Method != http.MethodPut || r.RequestURI != "/a?b=c" || "http://"+r.Host != server.URL {
			t.Errorf("%s %s to %s with %d bytes, %v", r.Method, r.RequestURI, r.Host, len(body), err)
		}
		w.WriteHeader(http.StatusFound)
		io.WriteString(w, strings.Repeat("x", 5000)) //nolint:errcheck // the client would see it
	}))
	defer server.Close()
	o := run(t, 300*ms, "load/http", "url="+server.URL+"/y?z=1", "path=/a?b=c", "method=PUT", "body_size=10K", "arrivals=steps", "steps=100@100ms,50@10ms")
	if o.Operations != 20 || o.Errors != 0 || requests.Load() != 20 {
		t.Errorf("%d operations, %d errors, %d requests; want 20, 0 and 20: %q", o.Operations, o.Errors, requests.Load(), o.Notes)
	}
	if got := o.Values["received_bytes"]; got < 20*5000 || got > 20*6000 {
		t.Errorf("received %v bytes, want 20 times 5000 and their headers", got)
	}
}

// TestBadAnswers wants a bad status, a cut connection and silence to be errors, and the connection to be made anew where it has to.
func TestBadAnswers(t *testing.T) {
	var requests, connections atomic.Int64
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		switch requests.Add(1) {
		case 1:
			w.WriteHeader(http.StatusNotFound)
		case 2:
			w.WriteHeader(http.StatusServiceUnavailable)
		case 3:
			panic(http.ErrAbortHandler)
		case 4:
			time.Sleep(300 * ms)
		case 5:
			w.Header().Set("Connection", "close")
		}
	}))
	server.Config.ConnState = func(_ net.Conn, state http.ConnState) {
		if state == http.StateNew {
			connections.Add(1)
		}
	}
	server.Start()
	defer server.Close()
	o := run(t, 1000*ms, "load/http", "url="+server.URL, "rate=10", "timeout=50ms", "connections=1")
	if o.Operations != 6 || o.Errors != 4 {
		t.Errorf("%d operations and %d errors, want 6 and 4: %q", o.Operations, o.Errors, o.Notes)
	}
	if len(o.Notes) == 0 || !strings.Contains(o.Notes[0], "status 404") {
		t.Errorf("notes: %q", o.Notes)
	}
	if n := connections.Load(); n != 4 {
		t.Errorf("%d connections, want the first and one after each of three that ended", n)
	}
}

func TestNobodyThere(t *testing.T) {
	server := httptest.NewServer(nil)
	server.Close()
	_, err := prepare(t, "load/http", "url="+server.URL).Run(t.Context(), time.Second)
	if err == nil || !strings.Contains(err.Error(), "connection refused") {
		t.Errorf("%v, want that the connection is refused", err)
	}
}

// TestServiceCosts checks lower bounds: each request has to take the CPU time that was asked for, one after the other those of the lock.
func TestServiceCosts(t *testing.T) {
	o := run(t, 200*ms, "load/service", "arrivals=closed", "connections=4", "cpu=2ms", "lock=5ms", "io=4K")
	if o.Errors != 0 || o.Latency.Min() < (7*ms).Nanoseconds()*999/1000 {
		t.Errorf("%d errors, the shortest operation took %v, want 7ms: %q", o.Errors, time.Duration(o.Latency.Min()), o.Notes)
	}
	if most := int64(o.Elapsed / (5 * ms)); o.Operations > most {
		t.Errorf("%d operations in %v, but %d can hold the lock", o.Operations, o.Elapsed, most)
	}
}

// TestTrace wants requests at recorded times at twice their speed, until they end.
func TestTrace(t *testing.T) {
	begin := time.Now()
	o := run(t, time.Minute, "load/service", "arrivals=trace", "times="+writeLog(t, "times", "10\n10.4\nlater\n10.2\n10.2\n"), "speed=2")
	if took := time.Since(begin); took < 200*ms || took > 30*time.Second {
		t.Errorf("took %v, want 200ms", took)
	}
	if o.Operations != 4 || o.Errors != 0 || o.Values["broken_count"] != 1 || o.Elapsed < 200*ms {
		t.Errorf("%d operations, %d errors, %v broken in %v", o.Operations, o.Errors, o.Values["broken_count"], o.Elapsed)
	}
	for _, want := range []string{"1 of 5 lines are no times and were left out; the first is line 3", "the log ended after 200ms, and with it the run of 1m0s"} {
		if notes := strings.Join(o.Notes, "\n"); !strings.Contains(notes, want) {
			t.Errorf("notes %q, want %q", notes, want)
		}
	}
	refused(t, "want a file of times", "load/http", "arrivals=trace")
}
