// SPDX-License-Identifier: Apache-2.0

package load

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

func TestSplit(t *testing.T) {
	check := func(text string, want ...string) {
		t.Helper()
		if got, err := split(text); err != nil || !slices.Equal(got, want) {
			t.Errorf("%s: got %q, %v; want %q", text, got, err, want)
		}
	}
	check("a b  c ", "a", "b", "c")
	check(`sh -c 'echo "x  y" $HOME'`, "sh", "-c", `echo "x  y" $HOME`)
	check(`a"b c"d '' ""`, "ab cd", "", "")
	check(`a\ b`, `a\`, "b")
	for _, bad := range []string{"", "  ", "''", `a "b`, "a 'b"} {
		if got, err := split(bad); err == nil {
			t.Errorf("%s: got %q, want an error", bad, got)
		}
	}
}

func TestMetrics(t *testing.T) {
	const bench = "goos: linux\nBenchmarkA/4K-8   100   12.5 ns/op   3 B/op\nBenchmarkA/4K-8   100   15 ns/op   4 B/op\n" +
		"BenchmarkA/4K-8 100 99 ns/op\nBenchmarkA/4KB-8 1 1 ns/op\nBenchmarkBroken\nok\n"
	const doc = `{"results": [{"mean": 1.5, "name": "x"}, {"mean": 2e3}], "total": 7}`
	// An expected text that isn't a number is part of an error.
	check := func(format, pattern, out, want string) {
		t.Helper()
		m, err := newMetric(format, pattern)
		var got float64
		if err == nil {
			got, err = m([]byte(out), []byte("took 4 s\n"))
		}
		switch {
		case err == nil && fmt.Sprint(got) != want:
			t.Errorf("%s %s: got %v, want %s", format, pattern, got, want)
		case err != nil && !strings.Contains(err.Error(), want):
			t.Errorf("%s %s: got error %q, want %s", format, pattern, err, want)
		}
	}
	check("benchfmt", "A/4K ns/op", bench, "15")
	check("benchfmt", "BenchmarkA/4K-8 B/op", bench, "3.5")
	check("benchfmt", "A ns/op", bench, "no line of BenchmarkA in ns/op: want one such as: BenchmarkA-8 1000 123 ns/op: ok")
	check("benchfmt", "A/4K MB/s", bench, "no line")
	check("benchfmt", "A", bench, "want a benchmark and its unit")
	check("benchfmt", "A x", "BenchmarkA 1 y x", "stdout:1: parsing measurement")
	check("benchfmt", "A x", "BenchmarkA 1 y x\nBenchmarkA 1 2 x", "2")
	check("benchfmt", "A x", "BenchmarkA 1 Inf x", "want a number that is finite")
	check("benchfmt", "A sec/op", "BenchmarkA 1 2 ns/op", "no line of")
	check("json", "results.1.mean", doc, "2000")
	check("json", "total", doc, "7")
	check("json", "results.2.mean", doc, `no element "2": want 0 to 1`)
	check("json", "results.0.median", doc, `no member "median": want one of mean, name`)
	check("json", "results.0.name", doc, "want a number, and it leads to a string")
	check("json", "total.x", doc, `no "x" in a number`)
	check("json", "total", "oops", "want JSON")
	check("json", "", doc, "want a path")
	check("regexp", `mean": ([0-9.]+)`, doc, "1.5")
	check("regexp", `took ([0-9.]+) s`, doc, "4")
	check("regexp", `mean`, doc, "has 0 groups: want one")
	check("regexp", `(`, doc, "missing closing )")
	check("regexp", `na(me)`, doc, `"me": want a number`)
	check("regexp", `speed (.)`, doc, "nothing matches")
	check("regexp", `(.*)`, "Inf", "want a number that is finite")
}

func TestExec(t *testing.T) {
	o := run(t, time.Second, "load/exec", "command=echo took 12 ms", "pattern=took ([0-9]+) ms")
	if o.Operations != 1 || o.Values["metric"] != 12 || o.Latency.TotalCount() != 1 {
		t.Errorf("%+v", o)
	}
	fails := func(want, command string) {
		t.Helper()
		_, err := prepare(t, "load/exec", "command="+command, "pattern=(.)").Run(t.Context(), time.Second)
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", command, err, want)
		}
	}
	fails("command sh: exit status 3: no such luck", "sh -c 'echo 1; echo no such luck >&2; exit 3'")
	fails("output of true: nothing matches", "true")
	k, v := values(t, "load/exec", "command=no-such-program", "pattern=(.)")
	if w, err := k.New(v); err != nil || w.Prepare(t.Context()) == nil {
		t.Errorf("%v: want only Prepare to miss the program", err)
	}
}

// TestExecKills ends the context, and the program, while a child of it still runs: the child has to be gone.
func TestExecKills(t *testing.T) {
	check := func(rest string, want error, until time.Duration) {
		t.Helper()
		file := filepath.Join(t.TempDir(), "pid")
		w := prepare(t, "load/exec", fmt.Sprintf("command=sh -c 'sleep 1000 & echo $! > %s; echo 5; %s'", file, rest), "pattern=(.)")
		ctx, cancel := context.WithTimeout(t.Context(), until)
		defer cancel()
		_, err := w.Run(ctx, time.Second)
		if !errors.Is(err, want) {
			t.Errorf("%v, want %v", err, want)
		}
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		settled(t, "children of the command", 0, func() int { return alive(strings.TrimSpace(string(text))) })
	}
	check("wait", context.DeadlineExceeded, 300*ms)
	check("true", nil, time.Minute)
}

// alive is 1 if a process runs: not if it is gone, or waits to be waited for.
func alive(pid string) int {
	stat, err := os.ReadFile("/proc/" + pid + "/stat")
	if err != nil || strings.Contains(string(stat), ") Z ") {
		return 0
	}
	return 1
}
