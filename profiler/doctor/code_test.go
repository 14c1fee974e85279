// SPDX-License-Identifier: Apache-2.0

package doctor

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/assaylab/assay/profiler"
)

// waits is a program that maps the file that it is given as code, or memory if that is "-", and waits. Half of it is a function that can't be
// followed, as it doesn't give back the stack that it takes.
const waits = `
#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>
__asm__(".text\n.globl lost\n.type lost, @function\nlost:\n sub %rax, %rsp\n .fill 20000, 1, 0x90\n ret\n.size lost, .-lost");
int main(int argc, char **argv)
{
	if (argc > 1) {
		const int fd = argv[1][0] == '-' ? -1 : open(argv[1], O_RDONLY);
		if (mmap(0, 1 << 16, PROT_READ | PROT_EXEC, MAP_PRIVATE | (fd < 0 ? MAP_ANONYMOUS : 0), fd, 0) == MAP_FAILED)
			return 1;
	}
	if (write(1, "x", 1) != 1)
		return 1;
	pause();
	return 0;
}
`

func buildWaits(t *testing.T, flags ...string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "waits")
	cmd := exec.Command("gcc", append(flags, "-x", "c", "-", "-o", path)...)
	cmd.Stdin = strings.NewReader(waits)
	if said, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("gcc: %v: %s", err, said)
	}
	return path
}

// launch starts a program, which lives until the test ends, and returns when it has written a byte.
func launch(t *testing.T, args ...string) int {
	t.Helper()
	cmd := exec.Command(args[0], args[1:]...)
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := cmd.Process.Kill(); err != nil {
			t.Error(err)
		}
		cmd.Wait() //nolint:errcheck // it was killed
	})
	if _, err := stdout.Read(make([]byte, 1)); err != nil {
		t.Fatal(err)
	}
	return cmd.Process.Pid
}

// ask is the report of a process, and its check of a name.
func ask(t *testing.T, pid, memory int, name string) (*ProcessReport, Check) {
	t.Helper()
	r, err := Process(pid, memory)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range r.Checks {
		if c.Name == name {
			return r, c
		}
	}
	t.Fatalf("no check of %s in %+v", name, r.Checks)
	return nil, Check{}
}

// TestCode: programs whose code a walk can get through, or not, for reasons that are known.
func TestCode(t *testing.T) {
	text := filepath.Join(t.TempDir(), "text")
	if err := os.WriteFile(text, bytes.Repeat([]byte("text\n"), 1<<14), 0o600); err != nil {
		t.Fatal(err)
	}
	const room = profiler.DefaultUnwindMemory
	whole := buildWaits(t, "-O2")
	gone := buildWaits(t, "-O2", "-Wl,-z,noseparate-code")
	for _, c := range []struct {
		name   string
		args   []string
		remove bool
		memory int
		check  string
		want   Status
		found  string
	}{
		{"the C library", []string{whole}, false, room, "libc.so.6", OK, "libc.so.6: 99."},
		{"not described, not to be followed", []string{buildWaits(t, "-O2", "-s", "-fno-asynchronous-unwind-tables")}, false, room, "waits", Degraded, "19 KiB by frame pointers"},
		{"its end", []string{whole}, false, room, "where stacks end", OK, "of the first thread: known by waits; of others: known by libc.so.6"},
		{"a file that is gone", []string{gone}, true, room, "waits (deleted)", Degraded, "by frame pointers"},
		{"memory", []string{whole, "-"}, false, room, "memory without a file", Degraded, "64 KiB in 1 mappings"},
		{"no ELF file", []string{whole, text}, false, room, "text", Missing, "not a usable ELF file"},
		{"no room for one", []string{whole}, false, 1 << 10, "libc.so.6", Missing, "more than all have"},
		{"room", []string{whole}, false, room, "memory for tables", OK, "of 64 MiB"},
	} {
		t.Run(c.name, func(t *testing.T) {
			pid := launch(t, c.args...)
			if c.remove {
				if err := os.Remove(c.args[0]); err != nil {
					t.Fatal(err)
				}
			}
			_, check := ask(t, pid, c.memory, c.check)
			if check.Status != c.want || !strings.Contains(check.Found, c.found) || (check.Fix == "") != (c.want == OK) {
				t.Errorf("%+v: want %s, %q", check, c.want, c.found)
			}
		})
	}
}

// TestNoRoomForAll: each table has room, but not all of them.
func TestNoRoomForAll(t *testing.T) {
	pid := launch(t, buildWaits(t, "-O2"))
	r, _ := ask(t, pid, profiler.DefaultUnwindMemory, "memory for tables")
	largest := 0
	for _, c := range r.Code {
		largest = max(largest, c.Table)
	}
	r, check := ask(t, pid, largest, "memory for tables")
	for _, c := range r.Code {
		if c.State != profiler.CodeTable {
			t.Errorf("%+v: want a table", c)
		}
	}
	if check.Status != Degraded || check.Fix == "" {
		t.Errorf("%+v", check)
	}
}

// TestProcessTable: what people read of a process.
func TestProcessTable(t *testing.T) {
	r := &ProcessReport{PID: 17, Checks: codeChecks(os.Getpid(), 1<<20, profiler.Looked{Over: 3, Code: []profiler.Code{
		{Path: "/opt/known\n", State: profiler.CodeTable, Code: 1000, Known: 995, Guessed: 5, Table: 1 << 11},
		{Path: "/opt/guessed", State: profiler.CodeTable, Code: 1000, Known: 500, Guessed: 490, Unknown: 10},
		{Path: "/opt/bare", State: profiler.CodeNoTable},
		{State: profiler.CodeNoFile, Mappings: 2, Mapped: 1 << 20},
	}})}
	var b strings.Builder
	if err := r.WriteTable(&b, false); err != nil {
		t.Fatal(err)
	}
	said := strings.Join(strings.Fields(b.String()), " ")
	for _, want := range []string{
		"ok known /opt/known : 99.5% of 1000 bytes known degraded guessed /opt/guessed: 50.0% of 1000 bytes known, 490 bytes by frame pointers, 10 bytes not described costs:",
		"missing bare /opt/bare: it describes no code, and its code can't be followed costs:",
		"degraded memory without a file 1024 KiB in 2 mappings",
		"of the first thread: not known; of others: not known",
		"tables of this process take 2048 bytes of 1024 KiB",
		"3 more than a walk is told of",
		"Process 17 runs no interpreter or compiler that Assay knows. to mend guessed, bare: build it with",
	} {
		if !strings.Contains(said, want) {
			t.Errorf("%q is not in:\n%s", want, b.String())
		}
	}
}

// TestCodeBytes: the numbers of a program of which the compiler has described all but one function.
func TestCodeBytes(t *testing.T) {
	r, _ := ask(t, launch(t, buildWaits(t, "-O2")), profiler.DefaultUnwindMemory, "waits")
	c := r.Code[0]
	if c.State != profiler.CodeTable || c.Guessed < 20000 || c.Guessed > 20100 || c.Known < 100 || c.Known+c.Guessed+c.Unsupported+c.Unknown != c.Code {
		t.Errorf("%+v", c)
	}
	if !c.EndsMain || c.EndsThreads {
		t.Errorf("ends: %v, %v", c.EndsMain, c.EndsThreads)
	}
}
