// SPDX-License-Identifier: Apache-2.0

package doctor

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"os"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"
)

var update = flag.Bool("update", false, "rewrite the files in testdata")

// working is a report of checks in which all that recording rests on is there.
func working() *Report {
	r := &Report{Kernel: "6.1.0", Arch: "x86_64"}
	for _, name := range []string{nameClock, namePerfEvent, nameBTFSwitch, nameBTFWaking, nameBTFFree, nameTaskIter, nameHash, nameArray, nameTables, nameRing, nameTaskStorage} {
		r.Checks = append(r.Checks, Check{Name: name, Group: "programs", Need: Core, Status: OK, Found: "works", Costs: "something"})
	}
	return r
}

// without takes things away.
func (r *Report) without(names ...string) *Report {
	for i := range r.Checks {
		for _, name := range names {
			if r.Checks[i].Name == name {
				r.Checks[i].Status = Missing
			}
		}
	}
	return r
}

func TestWhatCanBeRecorded(t *testing.T) {
	all := map[string]bool{ModeCPU: true, ModeOffCPU: true, ModeWall: true, ModeWakers: true}
	refused := errors.New("refused")
	for _, c := range []struct {
		name    string
		missing []string
		loads   []LoadResult
		want    map[string]bool
	}{
		{"all", nil, nil, all},
		{"own objects load", nil, []LoadResult{{Name: "sample"}, {Name: "offcpu"}}, all},
		{"no clock", []string{nameClock}, nil, map[string]bool{ModeCPU: false, ModeOffCPU: true, ModeWall: false, ModeWakers: true}},
		{"no perf_event programs", []string{namePerfEvent}, nil, map[string]bool{ModeCPU: false, ModeOffCPU: true, ModeWall: false, ModeWakers: true}},
		{"no switches", []string{nameBTFSwitch}, nil, map[string]bool{ModeCPU: true, ModeOffCPU: false, ModeWall: false, ModeWakers: false}},
		{"no wakeups", []string{nameBTFWaking}, nil, map[string]bool{ModeCPU: true, ModeOffCPU: false, ModeWall: false, ModeWakers: false}},
		{"no iterators", []string{nameTaskIter}, nil, map[string]bool{ModeCPU: false, ModeOffCPU: false, ModeWall: false, ModeWakers: false}},
		{"no task storage", []string{nameTaskStorage}, nil, map[string]bool{ModeCPU: true, ModeOffCPU: false, ModeWall: false, ModeWakers: false}},
		{"no ring buffer", []string{nameRing}, nil, map[string]bool{ModeCPU: false, ModeOffCPU: false, ModeWall: false, ModeWakers: false}},
		{
			"an own object is refused", nil,
			[]LoadResult{{Name: "offcpu", Err: refused, Modes: []string{ModeOffCPU}}},
			map[string]bool{ModeCPU: true, ModeOffCPU: false, ModeWall: false, ModeWakers: false},
		},
		{
			"an own object that all need is refused", nil,
			[]LoadResult{{Name: "shared", Err: refused}},
			map[string]bool{ModeCPU: false, ModeOffCPU: false, ModeWall: false, ModeWakers: false},
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := working().without(c.missing...)
			r.conclude(c.loads)
			if diff := cmp.Diff(c.want, r.CanRecord); diff != "" {
				t.Error(diff)
			}
			if r.OK() != c.want[ModeCPU] {
				t.Errorf("OK is %t", r.OK())
			}
		})
	}
}

func TestSummary(t *testing.T) {
	r := working()
	r.conclude(nil)
	if got, want := r.Summary, "Assay can record cpu, offcpu, wall, wakers, without limits."; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	r.Checks = append(r.Checks,
		Check{Name: "a", Need: Adds, Status: Degraded, Costs: "less of a"},
		Check{Name: "b", Need: Adds, Status: Missing, Costs: "less of a"},
		Check{Name: "c", Need: Unused, Status: Missing, Costs: unneeded},
		Check{Name: "d", Need: Adds, Status: Unknown, Costs: "who knows"})
	r.without(nameTaskStorage).conclude(nil)
	if got, want := r.Summary, "Assay can record cpu; limits: something; less of a."; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	r.Checks = slices.Insert(r.Checks, 0, Check{Name: "CAP_BPF", Group: "capabilities", Need: Core, Status: Missing})
	r.without(nameHash, nameRing).conclude(nil)
	if got, want := r.Summary, "Assay can't record here: CAP_BPF missing."; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestTable(t *testing.T) {
	r := working()
	r.Checks = append(r.Checks,
		Check{
			Name: "CAP_BPF", Group: "capabilities", Need: Core, Status: Missing, Found: "not effective",
			Costs: "no recording: loading eBPF programs is refused", Fix: "sudo setcap " + fileCapabilities() + " /usr/local/bin/assay",
		},
		Check{
			Name: "CAP_SYSLOG", Group: "capabilities", Need: Adds, Status: Missing, Found: "not effective",
			Costs: "kernel frames keep bare addresses", Fix: "sudo setcap " + fileCapabilities() + " /usr/local/bin/assay",
		},
		Check{Name: "lockdown", Group: "capabilities", Need: Core, Status: Unknown, Found: "permission denied", Costs: "much", Fix: "sudo /usr/local/bin/assay"},
		Check{Name: "lsm", Group: "capabilities", Need: Unused, Status: Missing, Found: "operation not permitted", Costs: unneeded},
		Check{
			Name: "hardware cycles", Group: "events", Need: Adds, Status: Degraded, Found: strings.Repeat("a long story ", 14),
			Costs: "samples land late", Fix: strings.TrimSpace(strings.Repeat("ask whoever runs the host of this virtual machine ", 3)),
		})
	r.conclude(nil)
	for name, colour := range map[string]bool{"testdata/table.txt": false, "testdata/table-colour.txt": true} {
		var out bytes.Buffer
		if err := r.WriteTable(&out, colour); err != nil {
			t.Fatal(err)
		}
		if *update {
			if err := os.WriteFile(name, out.Bytes(), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		want, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(string(want), out.String()); diff != "" {
			t.Errorf("%s (-update rewrites it):\n%s", name, diff)
		}
	}
}

type fullDisk struct{}

func (fullDisk) Write([]byte) (int, error) { return 0, errors.New("disk full") }

func TestTableTellsOfAFullDisk(t *testing.T) {
	if err := working().WriteTable(fullDisk{}, false); err == nil {
		t.Error("no error")
	}
}

// Each row says what it costs to be without and, if Assay minds, what mends
// it, whether or not this machine lacks it.
func TestRowsAreComplete(t *testing.T) {
	seen := make(map[string]bool)
	h := &host{executable: "/usr/bin/assay"}
	for _, r := range rows() {
		if r.group == "" || r.name == "" || r.costs == "" || seen[r.name] {
			t.Errorf("row %s/%s is not complete or there twice", r.group, r.name)
		}
		seen[r.name] = true
		if len(r.name) > nameWidth {
			t.Errorf("%s is wider than its column", r.name)
		}
		if r.group != "capabilities" && r.need != Unused && r.fix == "" {
			t.Errorf("%s: nothing mends it", r.name)
		}
		if r.wants != 0 && r.mends(h, finding{}) == r.fix {
			t.Errorf("%s: the lack of %s is not mended", r.name, r.wants)
		}
	}
	for _, name := range []string{nameClock, namePerfEvent, nameBTFSwitch, nameBTFWaking, nameBTFFree, nameTaskIter, nameHash, nameArray, nameTables, nameRing, nameTaskStorage} {
		if !seen[name] {
			t.Errorf("no row is called %s, which modes rest on", name)
		}
	}
}

func TestRunHere(t *testing.T) {
	r, err := Run(t.Context(), Options{LoadObjects: func() []LoadResult {
		return []LoadResult{{Name: "sample", Modes: []string{ModeCPU}}, {Name: "offcpu", Err: errors.New("no such type"), Modes: []string{ModeOffCPU}}}
	}})
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]bool{ModeCPU: true, ModeOffCPU: false, ModeWall: false, ModeWakers: false}
	if diff := cmp.Diff(want, r.CanRecord); diff != "" {
		t.Error(diff)
	}
	last := r.Checks[len(r.Checks)-1]
	if last.Group != "objects" || last.Status != Missing || last.Found != "no such type" {
		t.Errorf("the object that was refused: %+v", last)
	}
	var out bytes.Buffer
	if err := r.WriteTable(&out, false); err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(out.String()) {
		if n := utf8.RuneCountInString(strings.TrimRight(line, "\n")); n > tableWidth {
			t.Errorf("%d columns: %s", n, line)
		}
	}
}

// openFiles lists what our descriptors lead to.
func openFiles(t *testing.T) []string {
	t.Helper()
	entries, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	var files []string
	for _, e := range entries {
		// The descriptor of the folder itself is closed by now.
		if target, err := os.Readlink("/proc/self/fd/" + e.Name()); err == nil {
			files = append(files, target)
		}
	}
	slices.Sort(files)
	return files
}

func TestRunLeavesNoFileOpen(t *testing.T) {
	if _, err := Run(t.Context(), Options{}); err != nil { // what a library keeps open, it does from now on
		t.Fatal(err)
	}
	before := openFiles(t)
	if _, err := Run(t.Context(), Options{}); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(before, openFiles(t)); diff != "" {
		t.Error(diff)
	}
}

func TestRunEnds(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := Run(ctx, Options{}); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
}

// The JSON form is read by programs: its keys are a promise.
func TestJSONKeys(t *testing.T) {
	r := working()
	r.conclude(nil)
	r.Checks = []Check{{Name: "n", Group: "g", Need: Core, Status: Missing, Found: "f", Costs: "c", Fix: "x"}}
	r.CanRecord = map[string]bool{ModeCPU: true}
	r.Capabilities = []string{"CAP_BPF"}
	got, err := json.Marshal(r)
	if err != nil {
		t.Fatal(err)
	}
	const want = `{"kernel":"6.1.0","arch":"x86_64","uid":0,"capabilities":["CAP_BPF"],` +
		`"checks":[{"name":"n","group":"g","need":"core","status":"missing","found":"f","costs":"c","fix":"x"}],` +
		`"can_record":{"cpu":true},` +
		`"foretold":{"cpu":false,"offcpu":false,"side_band":false,"kernel_names":false,"own_processes":false,` +
		`"other_processes":false,"other_files":false,"deleted_files":false},` +
		`"limits":[],"summary":"Assay can record cpu, offcpu, wall, wakers, without limits."}`
	if diff := cmp.Diff(want, string(got)); diff != "" {
		t.Error(diff)
	}
}
