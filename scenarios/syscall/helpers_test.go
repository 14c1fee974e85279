// SPDX-License-Identifier: Apache-2.0

package syscall

import (
	"os"
	"runtime"
	"slices"
	"testing"
	"time"

	"github.com/assaylab/assay/scenarios"
)

// newWorkload makes a workload of one of the kinds, with parameters as a user gives them.
func newWorkload(kind string, given map[string]string) (scenarios.Workload, error) {
	kinds := Kinds()
	k := &kinds[slices.IndexFunc(kinds, func(k scenarios.Kind) bool { return k.Name == kind })]
	values, err := k.Check(given)
	if err != nil {
		return nil, err
	}
	return k.New(values)
}

// prepared makes a workload in a folder of its own and prepares it. At the end of the test it is closed, after which there must be no file
// left, and no more goroutines and descriptors than before.
func prepared(t *testing.T, kind string, given map[string]string) scenarios.Workload {
	t.Helper()
	wantNoLeaks(t)
	given["folder"] = t.TempDir()
	w, err := newWorkload(kind, given)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := w.Close(); err != nil {
			t.Errorf("Close: %v", err)
		}
		if left := entries(t, given["folder"]); left != 0 {
			t.Errorf("%d files left in the folder", left)
		}
	})
	if err := w.Prepare(t.Context()); err != nil {
		t.Fatal(err)
	}
	return w
}

// wantNoLeaks compares goroutines and descriptors at the end of the test with those of now.
func wantNoLeaks(t *testing.T) {
	t.Helper()
	entries(t, "/proc/self/fd") // the runtime keeps descriptors of its own from the first folder that is read on
	goroutines, fds := runtime.NumGoroutine(), entries(t, "/proc/self/fd")
	t.Cleanup(func() {
		if more := entries(t, "/proc/self/fd") - fds; more != 0 {
			t.Errorf("%d descriptors more than before", more)
		}
		more := 0
		for end := time.Now().Add(2 * time.Second); time.Now().Before(end); time.Sleep(time.Millisecond) {
			// What has told that it ends may not have ended yet.
			if more = runtime.NumGoroutine() - goroutines; more <= 0 {
				return
			}
		}
		t.Errorf("%d goroutines more than before", more)
	})
}

func entries(t *testing.T, folder string) int {
	t.Helper()
	list, err := os.ReadDir(folder)
	if err != nil {
		t.Fatal(err)
	}
	return len(list)
}
