// SPDX-License-Identifier: Apache-2.0

package debugfile

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/assaylab/assay/internal/elfx"
)

// program compiles a program with debug information, strips it into a folder of its own, and gives the path of the stripped program, that of its debug
// file and their build ID.
func program(t testing.TB) (stripped, debug, id string) {
	t.Helper()
	dir := t.TempDir()
	script := `printf 'int main(void) { return 0; }' > a.c; gcc -g a.c -o a; mkdir server
		objcopy --only-keep-debug a server/a.debug; strip a; cp a server/a`
	cmd := exec.Command("bash", "-ec", script)
	cmd.Dir = dir
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	stripped, debug = filepath.Join(dir, "a"), filepath.Join(dir, "server", "a.debug")
	return stripped, debug, open(t, stripped).BuildID()
}

func open(t testing.TB, path string) *elfx.File {
	t.Helper()
	image, err := Open(path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := image.Close(); err != nil {
			t.Error(err)
		}
	})
	return image.File
}

// serveDebuginfod runs the debuginfod of elfutils over a folder and gives its address once it has seen a file.
func serveDebuginfod(t *testing.T, dir, id string) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	_, port, err := net.SplitHostPort(l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	var log bytes.Buffer
	cmd := exec.Command("debuginfod", "-F", "-p", port, "-d", ":memory:", "-L", "--disable-source-scan", dir)
	cmd.Env = append(os.Environ(), "DEBUGINFOD_URLS=")
	cmd.Stdout, cmd.Stderr = &log, &log
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := cmd.Process.Signal(syscall.SIGTERM); err != nil {
			t.Error(err)
		}
		if err := cmd.Wait(); err != nil && cmd.ProcessState.ExitCode() > 0 {
			t.Errorf("%v\n%s", err, log.String())
		}
	})
	server := "http://127.0.0.1:" + port
	for deadline := time.Now().Add(20 * time.Second); time.Now().Before(deadline); time.Sleep(50 * time.Millisecond) {
		r, err := http.Get(server + "/buildid/" + id + "/debuginfo")
		if err != nil {
			continue
		}
		if err := r.Body.Close(); err == nil && r.StatusCode == http.StatusOK {
			return server
		}
	}
	t.Fatalf("debuginfod doesn't serve %s", id)
	return ""
}

// TestDebuginfod fetches from the server of elfutils, once.
func TestDebuginfod(t *testing.T) {
	stripped, debug, id := program(t)
	server := serveDebuginfod(t, filepath.Dir(debug), id)
	f := &Finder{Dirs: []string{}, Debuginfod: &Debuginfod{URLs: []string{"http://127.0.0.1:1", server}, Dir: t.TempDir()}}
	for range 2 {
		image, err := f.Debug(open(t, stripped), stripped)
		if err != nil {
			t.Fatal(err)
		}
		if _, ok := image.Section(".debug_info"); !ok {
			t.Error("what came has no debug information")
		}
		if err := image.Close(); err != nil {
			t.Error(err)
		}
		f.Debuginfod.URLs = nil // the second time it must be there
	}
	f.Debuginfod.URLs = []string{server}
	image, err := f.Executable(id)
	if err != nil {
		t.Fatal(err)
	}
	if err := image.Close(); err != nil {
		t.Error(err)
	}
	if _, err := f.Executable(strings.Repeat("ab", 20)); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a file that nobody has: %v", err)
	}
	if n := len(f.Debuginfod.Failed()); n != 1 {
		t.Errorf("%d servers failed, want the one that isn't there", n)
	}
}

// TestBadServers: whatever a server does, it is asked once, the answer comes in time, and nothing is left of it.
func TestBadServers(t *testing.T) {
	_, debug, id := program(t)
	whole, err := os.ReadFile(debug)
	if err != nil {
		t.Fatal(err)
	}
	for name, tc := range map[string]struct {
		serve http.HandlerFunc
		want  string
	}{
		"silent":       {func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }, "silent for"},
		"stops":        {func(w http.ResponseWriter, r *http.Request) { send(w, whole[:100]); <-r.Context().Done() }, "silent for"},
		"drips":        {func(w http.ResponseWriter, r *http.Request) { drip(w, r, time.Millisecond) }, "deadline"},
		"without end":  {func(w http.ResponseWriter, r *http.Request) { drip(w, r, 0) }, "more than 1048576 bytes"},
		"text":         {func(w http.ResponseWriter, _ *http.Request) { send(w, bytes.Repeat([]byte("<p>hotel</p>"), 100)) }, "no magic number"},
		"another file": {func(w http.ResponseWriter, _ *http.Request) { send(w, elf(t)) }, "asked for build ID"},
		"cut": {func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Length", "1000000")
			send(w, whole)
		}, "unexpected EOF"},
		"broken": {func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusInternalServerError) }, "500"},
		"circle": {func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, r.URL.Path, http.StatusFound) }, "10 redirects"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var asked atomic.Int32
			server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if asked.Add(1) == 1 || name == "circle" {
					tc.serve(w, r)
				}
			}))
			defer server.Close()
			d := &Debuginfod{URLs: []string{server.URL}, Dir: t.TempDir(), Timeout: 200 * time.Millisecond, Total: 500 * time.Millisecond, MaxFile: 1 << 20}
			for range 2 {
				if _, err := d.Fetch(id, "debuginfo"); err == nil || !strings.Contains(err.Error(), tc.want) && !errors.Is(err, fs.ErrNotExist) {
					t.Errorf("error %v, want %q in it", err, tc.want)
				}
			}
			if asked.Load() != 1 && name != "circle" {
				t.Errorf("asked %d times", asked.Load())
			}
			if entries, err := os.ReadDir(d.Dir); err != nil || len(entries) > 0 {
				t.Errorf("left behind: %v, %v", entries, err)
			}
		})
	}
}

// send writes to a client who may have gone.
func send(w http.ResponseWriter, b []byte) {
	if _, err := w.Write(b); err == nil {
		w.(http.Flusher).Flush()
	}
}

// drip sends zeros until the client goes.
func drip(w http.ResponseWriter, r *http.Request, pause time.Duration) {
	chunk := make([]byte, 4<<10)
	if pause > 0 {
		chunk = chunk[:1]
	}
	for r.Context().Err() == nil {
		send(w, chunk)
		time.Sleep(pause)
	}
}

// elf is another program.
func elf(t testing.TB) []byte {
	b, err := os.ReadFile("/bin/true")
	if err != nil {
		t.Error(err)
	}
	return b
}

func TestMakeRoom(t *testing.T) {
	dir := t.TempDir()
	for i := range 4 {
		path := filepath.Join(dir, fmt.Sprint(i))
		if err := os.WriteFile(path, make([]byte, 100), 0o600); err != nil {
			t.Fatal(err)
		}
		when := time.Unix(int64(1000+i), 0)
		if err := os.Chtimes(path, when, when); err != nil {
			t.Fatal(err)
		}
	}
	if err := makeRoom(dir, 250); err != nil {
		t.Fatal(err)
	}
	left, err := filepath.Glob(filepath.Join(dir, "*"))
	if want := []string{filepath.Join(dir, "2"), filepath.Join(dir, "3")}; err != nil || fmt.Sprint(left) != fmt.Sprint(want) {
		t.Errorf("left: %v, %v; want %v", left, err, want)
	}
}

// TestEnvironment: nobody is asked unless the variable says so.
func TestEnvironment(t *testing.T) {
	for value, want := range map[string]int{"": 0, " ": 0, "https://a.example/ http://b.example": 2} {
		t.Setenv("DEBUGINFOD_URLS", value)
		d, err := FromEnvironment()
		if err != nil || want == 0 && d != nil || want > 0 && (d == nil || len(d.URLs) != want) {
			t.Errorf("%q: %+v, %v", value, d, err)
		}
	}
	t.Setenv("DEBUGINFOD_URLS", "ftp://a.example")
	if _, err := FromEnvironment(); err == nil {
		t.Error("ftp is accepted")
	}
}

// TestOpenRefuses: a pipe doesn't hold us up.
func TestOpenRefuses(t *testing.T) {
	path := filepath.Join(t.TempDir(), "pipe")
	if err := syscall.Mkfifo(path, 0o600); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	done := make(chan error, 1)
	go func() {
		_, err := Open(path)
		done <- err
	}()
	select {
	case err := <-done:
		if err == nil {
			t.Error("a pipe was opened")
		}
	case <-ctx.Done():
		t.Error("still waiting for a pipe")
	}
}
