// SPDX-License-Identifier: Apache-2.0

package load

import (
	"context"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/assaylab/assay/scenarios"
)

// openFolder is a TMPDIR that everyone can reach, as nobody has to.
func openFolder(t *testing.T) string {
	t.Helper()
	folder := t.TempDir()
	if err := os.Chmod(filepath.Dir(folder), 0o755); err != nil { //nolint:gosec // for others
		t.Fatal(err)
	}
	if err := os.Chmod(folder, 0o1777); err != nil { //nolint:gosec // for others
		t.Fatal(err)
	}
	t.Setenv("TMPDIR", folder)
	return folder
}

// inhabitants are the processes that work in a folder.
func inhabitants(folder string) (pids []string) {
	links, _ := filepath.Glob("/proc/[0-9]*/cwd") //nolint:errcheck // the pattern is right
	for _, link := range links {
		if target, err := os.Readlink(link); err == nil && strings.HasPrefix(target, folder) {
			pids = append(pids, filepath.Base(filepath.Dir(link)))
		}
	}
	return pids
}

func left(t *testing.T, folder string) int {
	t.Helper()
	files, err := os.ReadDir(folder)
	if err != nil {
		t.Fatal(err)
	}
	return len(files) + len(inhabitants(folder))
}

func TestNginx(t *testing.T) {
	openFolder(t)
	o := run(t, 100*ms, "load/nginx", "size=5K", "arrivals=closed", "workers=2")
	if o.Operations == 0 || o.Errors != 0 || o.Values["received_bytes"] < float64(o.Operations*5<<10) {
		t.Errorf("%d operations, %d errors, %v: %q", o.Operations, o.Errors, o.Values, o.Notes)
	}
}

// TestRedis compares with what the server counted, beside the commands that set all keys at first.
func TestRedis(t *testing.T) {
	openFolder(t)
	w := prepare(t, "load/redis", "keys=1234", "writes=0.5", "pipeline=3", "arrivals=closed", "connections=2")
	o, err := w.Run(t.Context(), 100*ms)
	if err != nil {
		t.Fatal(err)
	}
	calls := redisCalls(t, w.(*redisLoad).server.address())
	sets := calls["set"] - 1234
	if o.Errors != 0 || o.Operations == 0 || calls["get"]+sets != int(3*o.Operations) || sets < int(o.Operations) || sets > int(2*o.Operations) {
		t.Errorf("%d operations of three commands, %d errors; the server counted %v", o.Operations, o.Errors, calls)
	}
}

// redisCalls asks a server how often each command was called.
func redisCalls(t *testing.T, address string) map[string]int {
	t.Helper()
	conn, err := net.Dial("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if _, err := conn.Write([]byte("INFO commandstats\r\n")); err != nil {
		t.Fatal(err)
	}
	text := make([]byte, 64<<10)
	n, err := conn.Read(text)
	if err != nil {
		t.Fatal(err)
	}
	calls := map[string]int{}
	for _, found := range regexp.MustCompile(`cmdstat_(\w+):calls=(\d+)`).FindAllSubmatch(text[:n], -1) {
		calls[string(found[1])], _ = strconv.Atoi(string(found[2])) //nolint:errcheck // digits
	}
	return calls
}

// TestPostgres has each transaction add 1, and looks at the sum.
func TestPostgres(t *testing.T) {
	openFolder(t)
	w := prepare(t, "load/postgres", "rows=500", "writes=1", "arrivals=closed", "connections=3")
	o, err := w.Run(t.Context(), 100*ms)
	if err != nil {
		t.Fatal(err)
	}
	conn, err := w.(*postgresLoad).connect(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(context.Background()) //nolint:errcheck // the server ends anyway
	got := conn.ExecParams(t.Context(), "SELECT sum(balance), count(*) FROM accounts", nil, nil, nil, nil).Read()
	if got.Err != nil || o.Operations == 0 || o.Errors != 0 {
		t.Fatalf("%d operations, %d errors, %v: %q", o.Operations, o.Errors, got.Err, o.Notes)
	}
	if sum, rows := string(got.Rows[0][0]), string(got.Rows[0][1]); sum != strconv.FormatInt(o.Operations, 10) || rows != "500" {
		t.Errorf("the sum is %s in %s rows, want %d in 500", sum, rows, o.Operations)
	}
}

var servers = []string{"load/nginx", "load/redis", "load/postgres"}

func TestServersLeaveNothing(t *testing.T) {
	folder := openFolder(t)
	for _, kind := range servers {
		k, v := values(t, kind)
		w, err := k.New(v)
		if err != nil {
			t.Fatal(err)
		}
		if err := w.Prepare(t.Context()); err != nil {
			t.Fatal(err)
		}
		if len(inhabitants(folder)) == 0 {
			t.Errorf("%s: no process in %s", kind, folder)
		}
		if err := w.Close(); err != nil {
			t.Errorf("%s: %v", kind, err)
		}
		settled(t, kind+": files and processes", 0, func() int { return left(t, folder) })
	}
}

// TestServersEndWithWorker kills who started a server: the server ends, and its folder goes.
func TestServersEndWithWorker(t *testing.T) {
	for _, kind := range servers {
		t.Run(kind, func(t *testing.T) {
			folder := openFolder(t)
			worker := exec.Command("/proc/self/exe")
			worker.Env = append(os.Environ(), asServer+"="+kind)
			out, err := worker.StdoutPipe()
			if err == nil {
				err = worker.Start()
			}
			if err != nil {
				t.Fatal(err)
			}
			said := make([]byte, 100)
			n, err := out.Read(said)
			if err != nil || string(said[:n]) != "<nil>\n" || len(inhabitants(folder)) == 0 {
				t.Errorf("said %q, %v", said[:n], err)
			}
			if err := worker.Process.Kill(); err != nil {
				t.Fatal(err)
			}
			if err := worker.Wait(); err == nil {
				t.Error("the worker ended by itself")
			}
			settled(t, "files and processes", 0, func() int { return left(t, folder) })
		})
	}
}

// serve prepares a workload and waits to be killed.
func serve(kind string) error {
	for _, k := range Kinds() {
		if k.Name != kind {
			continue
		}
		v, err := k.Check(nil)
		if err != nil {
			return err
		}
		w, err := k.New(v)
		if err != nil {
			return err
		}
		return w.Prepare(context.Background())
	}
	return os.ErrNotExist
}

func TestPortInUse(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	port := strconv.Itoa(l.Addr().(*net.TCPAddr).Port)
	for _, kind := range servers {
		k, v := values(t, kind, "port="+port)
		w, err := k.New(v)
		if err != nil {
			t.Fatal(err)
		}
		want := "port " + port + " of 127.0.0.1 is in use: want one that is free, or 0 for any"
		if err := w.Prepare(t.Context()); err == nil || err.Error() != want {
			t.Errorf("%s: %v, want %s", kind, err, want)
		}
		if err := w.Close(); err != nil {
			t.Errorf("%s: %v", kind, err)
		}
	}
}

// TestServerThatFails tells what the server said, in one line.
func TestServerThatFails(t *testing.T) {
	openFolder(t)
	s, err := newServer(t.Context(), "redis-server", 0)
	if err != nil {
		t.Fatal(err)
	}
	err = s.start(t.Context(), "--no-such-thing", "1")
	if err == nil || !strings.HasPrefix(err.Error(), "redis-server ended (exit status 1): ") || strings.Contains(err.Error(), "\n") {
		t.Errorf("%v, want why it ended", err)
	}
	if _, err := s.command(scenarios.Need("no-such-program")); err == nil || err.Error() != "no-such-program is not installed: apt install no-such-program" {
		t.Errorf("%v, want what to install", err)
	}
	start := time.Now()
	if err := s.close(); err != nil || time.Since(start) > endLimit {
		t.Errorf("%v after %v", err, time.Since(start))
	}
}
