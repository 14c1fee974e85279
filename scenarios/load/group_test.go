// SPDX-License-Identifier: Apache-2.0

package load

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// These variables make this program run a command as load/exec does, or start the server of a kind, so that it can be killed meanwhile.
const (
	asWorker = "LOAD_TEST_COMMAND"
	asServer = "LOAD_TEST_SERVER"
)

func TestMain(m *testing.M) {
	if text := os.Getenv(asWorker); text != "" {
		_, _, err := execute(context.Background(), []string{"sh", "-c", text})
		fmt.Println(err)
		return
	}
	if kind := os.Getenv(asServer); kind != "" {
		fmt.Println(serve(kind))
		select {}
	}
	os.Exit(m.Run())
}

// TestGroupOutlivesNobody kills whoever runs a command: nothing of it is left, neither the program nor what it started.
func TestGroupOutlivesNobody(t *testing.T) {
	file := filepath.Join(t.TempDir(), "pids")
	worker := exec.Command("/proc/self/exe")
	worker.Env = append(os.Environ(), asWorker+"=sh -c 'sleep 1000 & echo $$ $! $PPID > "+file+".new; mv "+file+".new "+file+"; trap : TERM; wait'; true")
	if err := worker.Start(); err != nil {
		t.Fatal(err)
	}
	pids := strings.Fields(eventually(t, file))
	if err := worker.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	if err := worker.Wait(); err == nil {
		t.Error("the worker ended by itself")
	}
	if len(pids) != 3 {
		t.Fatalf("processes %q, want the shell, its child and its parent", pids)
	}
	for _, pid := range pids {
		settled(t, "process "+pid, 0, func() int { return alive(pid) })
	}
}

// eventually returns the contents of a file once it is there.
func eventually(t *testing.T, path string) string {
	t.Helper()
	for range 500 {
		if text, err := os.ReadFile(path); err == nil {
			return string(text)
		}
		time.Sleep(10 * ms)
	}
	t.Fatalf("%s doesn't come", path)
	return ""
}
