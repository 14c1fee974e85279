// SPDX-License-Identifier: Apache-2.0

//go:build !race

package caps

import (
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"testing"
)

// childEnv tells a copy of this test program to drop its capabilities instead
// of running tests.
const childEnv = "ASSAY_TEST_DROP"

func TestMain(m *testing.M) {
	if os.Getenv(childEnv) == "" {
		os.Exit(m.Run())
	}
	if err := dropAndReport(); err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
}

// dropAndReport keeps two capabilities and prints the sets of each thread as
// the kernel's own text shows them, then tries to get one back.
func dropAndReport() error {
	for range 4 { // threads that exist before the drop
		go func() {
			runtime.LockOSThread()
			select {}
		}()
	}
	runtime.Gosched()
	if err := Drop(BPF, Syslog); err != nil {
		return err
	}
	tasks, err := os.ReadDir("/proc/self/task")
	if err != nil {
		return err
	}
	for _, task := range tasks {
		status, err := os.ReadFile("/proc/self/task/" + task.Name() + "/status")
		if err != nil {
			return err
		}
		for line := range strings.Lines(string(status)) {
			if strings.HasPrefix(line, "Cap") {
				fmt.Print(line)
			}
		}
	}
	effective, err := Effective()
	if err != nil {
		return err
	}
	fmt.Println("ours:", effective)
	if err := Drop(BPF, Syslog, SysAdmin); err != nil {
		return err
	}
	permitted, err := Permitted()
	if err != nil {
		return err
	}
	fmt.Println("again:", permitted)
	return nil
}

// fields collects the values of each line that starts with name.
func fields(out, name string) []string {
	var values []string
	for line := range strings.Lines(out) {
		if rest, ok := strings.CutPrefix(line, name+":"); ok {
			values = append(values, strings.TrimSpace(rest))
		}
	}
	return values
}

func TestDropOnAllThreads(t *testing.T) {
	bounding, err := Bounding()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command("/proc/self/exe")
	cmd.Env = append(os.Environ(), childEnv+"=1")
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	keep := Of(BPF, Syslog)
	for name, want := range map[string]Set{"CapPrm": keep, "CapEff": keep, "CapInh": 0, "CapAmb": 0, "CapBnd": bounding} {
		got := fields(string(out), name)
		if len(got) < 5 {
			t.Errorf("%s: %d threads, want five or more", name, len(got))
		}
		for _, value := range got {
			if value != fmt.Sprintf("%016x", uint64(want)) {
				t.Errorf("%s of a thread: got %s, want %016x", name, value, uint64(want))
			}
		}
	}
	for _, name := range []string{"ours", "again"} {
		if got := fields(string(out), name); len(got) != 1 || got[0] != keep.String() {
			t.Errorf("%s: got %q, want %s", name, got, keep)
		}
	}
}
