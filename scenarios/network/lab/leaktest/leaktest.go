// SPDX-License-Identifier: Apache-2.0

// Package leaktest finds what a test with namespaces left behind: names of namespaces, links, threads in another namespace, files and
// sockets, goroutines. It looks at this process and its names only, because others may be at work on the same machine.
package leaktest

import (
	"fmt"
	"maps"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"
)

// patience is for what goes away by itself: a thread ends shortly after its goroutine.
const patience = 3 * time.Second

// Check fails the test if after its end, and what was given to t.Cleanup since, more is there than now.
func Check(t testing.TB) {
	t.Helper()
	before := inventory(t)
	t.Cleanup(func() {
		var extra []string
		for start := time.Now(); time.Since(start) < patience; time.Sleep(10 * time.Millisecond) {
			extra = more(before, inventory(t))
			if len(extra) == 0 {
				return
			}
		}
		t.Errorf("left behind:\n\t%s", strings.Join(extra, "\n\t"))
	})
}

// more lists what there is more of than before.
func more(before, after map[string]int) []string {
	var extra []string
	for _, thing := range slices.Sorted(maps.Keys(after)) {
		if n := after[thing] - before[thing]; n > 0 {
			extra = append(extra, fmt.Sprintf("%d × %s", n, thing))
		}
	}
	return extra
}

// inventory counts all things that a test could leave behind.
func inventory(t testing.TB) map[string]int {
	t.Helper()
	things := map[string]int{"goroutine": runtime.NumGoroutine()}
	names, err := filepath.Glob(fmt.Sprintf("/run/netns/assay-%d-*", os.Getpid()))
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range names {
		things[name]++
	}
	links, err := net.Interfaces()
	if err != nil {
		t.Fatal(err)
	}
	for _, l := range links {
		if strings.HasPrefix(l.Name, "assay") {
			things["link "+l.Name]++
		}
	}
	count(t, things, "/proc/self/task/*/ns/net")
	count(t, things, "/proc/self/fd/*")
	return things
}

// count adds what links of a pattern point to. A thread's own namespace is no leak, nor is what Go's runtime opens when it needs it first.
func count(t testing.TB, things map[string]int, pattern string) {
	t.Helper()
	home, err := os.Readlink("/proc/self/ns/net")
	if err != nil {
		t.Fatal(err)
	}
	paths, err := filepath.Glob(pattern)
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range paths {
		target, err := os.Readlink(path)
		if err != nil || target == home || target == "anon_inode:[eventpoll]" || target == "anon_inode:[eventfd]" {
			continue // gone meanwhile, or none
		}
		things[filepath.Base(filepath.Dir(path))+" → "+target]++
	}
}
