// SPDX-License-Identifier: Apache-2.0

package doctor

import (
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/assaylab/assay/profiler"
)

func TestRuntimes(t *testing.T) {
	for _, c := range []struct {
		name    string
		look    func(*runtimes) []Check
		process runtimes
		want    []string // the names of checks, those with a fix in capitals
	}{
		{"node without options", checkNode, runtimes{files: []string{"/usr/bin/node"}, words: []string{"node", "a.js"}}, []string{"NAMES OF JAVASCRIPT"}},
		{"node with names", checkNode, runtimes{files: []string{"/opt/node (deleted)"}, words: []string{"--perf_basic_prof"}}, []string{
			"names of JavaScript", "INTERPRETED JAVASCRIPT",
		}},
		{"node with all", checkNode, runtimes{files: []string{"/usr/bin/node"}, words: []string{"--perf-prof", "--interpreted-frames-native-stack"}}, []string{
			"names of JavaScript", "interpreted JavaScript",
		}},
		{"no node", checkNode, runtimes{files: []string{"/usr/bin/nodejsx", "/lib/libnode/a.so"}}, nil},
		{"java without options", checkJava, runtimes{files: []string{"/lib/libjvm.so"}, words: []string{"-XX:-PreserveFramePointer"}}, []string{
			"FRAMES OF JAVA", "names of Java",
		}},
		{"java with frame pointers", checkJava, runtimes{files: []string{"/lib/libjvm.so"}, words: []string{"-XX:+PreserveFramePointer"}}, []string{
			"frames of Java", "names of Java",
		}},
		{"ruby", checkOthers, runtimes{files: []string{"/usr/lib/libruby-3.1.so.3.1.2"}}, []string{"FUNCTIONS OF RUBY"}},
		{"php", checkOthers, runtimes{files: []string{"/usr/bin/php8.2"}}, []string{"FUNCTIONS OF PHP"}},
		{"neither", checkOthers, runtimes{files: []string{"/usr/bin/phpx", "/usr/bin/bash"}}, nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			var got []string
			for _, check := range c.look(&c.process) {
				name := check.Name
				if check.Fix != "" {
					name = strings.ToUpper(name)
				}
				got = append(got, name)
			}
			if diff := cmp.Diff(c.want, got); diff != "" {
				t.Error(diff)
			}
		})
	}
}

// TestProcessOfPython looks at a running interpreter, and at ourselves, who run none but are by Go.
func TestProcessOfPython(t *testing.T) {
	pid := launch(t, "/usr/bin/python3", "-c", "import time; print(flush=True); time.sleep(600)")
	if _, c := ask(t, pid, profiler.DefaultUnwindMemory, "functions of Python"); c.Status != OK {
		t.Errorf("%+v: want functions of Python", c)
	}
	r, c := ask(t, os.Getpid(), profiler.DefaultUnwindMemory, "where stacks end")
	if c.Status != OK || slices.ContainsFunc(r.Checks, func(c Check) bool { return c.Group == groupRuntimes && c.Name != "labels of Go" }) {
		t.Errorf("a Go program: %+v", r.Checks)
	}
	if _, c := ask(t, os.Getpid(), profiler.DefaultUnwindMemory, "labels of Go"); c.Status != OK {
		t.Errorf("%+v: want labels of Go", c)
	}
}
