// SPDX-License-Identifier: Apache-2.0

package bench

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// TestBeside starts programs beside a workload: one that listens to the interrupt, one that doesn't run, one that ends at once.
func TestBeside(t *testing.T) {
	file := filepath.Join(t.TempDir(), "ended")
	script := `trap 'echo yes > ` + file + `; echo "(42 samples)" >&2; exit 0' INT; while :; do sleep 0.05; done`
	r, err := command{[]string{"/bin/sh", "-c", script}, toldSamples}.start()
	if err != nil {
		t.Fatal(err)
	}
	begin := time.Now()
	s, err := r.stop()
	if err != nil || s.samples != 42 || s.span < startPause || s.cpu <= 0 {
		t.Errorf("%+v, %v", s, err)
	}
	if _, err := os.Stat(file); err != nil || time.Since(begin) > defaultGrace {
		t.Errorf("not interrupted: %v, after %s", err, time.Since(begin))
	}
	for text, want := range map[string]string{"/no/such/program": "no such file", "/bin/false": "ended at once"} {
		if _, err := (command{[]string{text}, toldSamples}).start(); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", text, err, want)
		}
	}
}

// TestBesideCPU looks at the clock of a program that never waits: it goes on, and never beyond what the kernel told of it in the end.
func TestBesideCPU(t *testing.T) {
	r, err := command{[]string{"/bin/sh", "-c", "while :; do :; done"}, toldSamples}.start()
	if err != nil {
		t.Fatal(err)
	}
	first, err1 := r.cpu()
	time.Sleep(50 * time.Millisecond)
	second, err2 := r.cpu()
	s, err3 := r.stop()
	const tick = 10 * time.Millisecond // of the kernel's times of a process, at their coarsest
	if err1 != nil || err2 != nil || err3 != nil || first <= 0 || second <= first || s.cpu+tick < second {
		t.Errorf("%s, then %s, %s in the end: %v, %v, %v", first, second, s.cpu, err1, err2, err3)
	}
}

func TestSamplesTold(t *testing.T) {
	for _, c := range []struct {
		read        func(out, errOut string) (int64, time.Duration)
		out, errOut string
		samples     int64
		span        time.Duration
	}{
		{toldSamples, "", "[ perf record: Captured and wrote 0.123 MB perf.data (310 samples) ]", 310, 0},
		{toldSamples, "Attaching 2 probes...\n@samples: 77\n\n", "", 77, 0},
		{toldSamples, "nothing", "[ perf record: Captured and wrote 0.000 MB /dev/null ]", 0, 0},
		{ownSamples, `{"duration_ns": 5, "sample_types": [{"unit": "count", "total": 3}, {"unit": "nanoseconds", "total": 9}, {"unit": "count", "total": 4}]}`, "", 7, 5},
		{ownSamples, `{"duration_ns": 5, "sample_types": [{"unit": "nanoseconds", "total": 9}], "samples": {"taken": 6}}`, "", 6, 5},
		{ownSamples, "{", "", 0, 0},
	} {
		if n, span := c.read(c.out, c.errOut); n != c.samples || span != c.span {
			t.Errorf("%q, %q: %d in %s, want %d in %s", c.out, c.errOut, n, span, c.samples, c.span)
		}
	}
}
