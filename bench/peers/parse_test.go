// SPDX-License-Identifier: Apache-2.0

package main

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/pprof/profile"
)

const pipeOutput = `# Running 'sched/pipe' benchmark:
# Executed 100000 pipe operations between two processes

     Total time: 0.397 [sec]

       3.973560 usecs/op
         251663 ops/sec
`

func TestParseNumbers(t *testing.T) {
	for _, c := range []struct {
		name  string
		parse func(string) (float64, error)
		in    string
		want  float64
	}{
		{"perf bench", parseMicroseconds, pipeOutput, 3.97356},
		{"perf record", parsePerfSamples, "[ perf record: Woken up 1 times to write data ]\n[ perf record: Captured and wrote 0.408 MB p.data (1995 samples) ]\n", 1995},
		{"perf report", parsePerfStats, "\nAggregated stats:\n           TOTAL events:       5840\n          SAMPLE events:       3986  (84.5%)\n", 3986},
		{"tcpreplay", parseTcpreplay, "Actual: 800000 packets (286192560 bytes) sent in 2.05 seconds\nRated: 139606126.8 Bps, 1116.84 Mbps, 390243.90 pps\n", 2.05},
		{"perf record, about", parsePerfSamples, "[ perf record: Captured and wrote 9.1 MB p.data (~1995 samples) ]", 1995},
	} {
		if got, err := c.parse(c.in); err != nil || got != c.want {
			t.Errorf("%s: %v, %v, want %v", c.name, got, err, c.want)
		}
		if got, err := c.parse("permission denied"); err == nil {
			t.Errorf("%s: %v from an output without it", c.name, got)
		}
	}
}

func TestParseFirstStamp(t *testing.T) {
	if got, err := parseFirstStamp(" 9124.000451987: \n 9124.010451987: \n"); err != nil || got != 9124_000451987 {
		t.Errorf("%d, %v", got, err)
	}
	if _, err := parseFirstStamp("no samples"); err == nil {
		t.Error("a time from nothing")
	}
}

func TestParseKeys(t *testing.T) {
	got, err := parseKeys("started=4000\nlong=40\nmilliseconds=2093\n")
	if diff := cmp.Diff(map[string]float64{"started": 4000, "long": 40, "milliseconds": 2093}, got); err != nil || diff != "" {
		t.Errorf("%v (-want +got):\n%s", err, diff)
	}
	for _, bad := range []string{"started", "started=", "started=x\n", "\n"} {
		if _, err := parseKeys(bad); err == nil {
			t.Errorf("%q taken", bad)
		}
	}
}

func TestParseSummary(t *testing.T) {
	s, err := parseSummary(`{"start_unix_ns": 7, "threads": 3, "samples": {"taken": 5}, "lost": {"throttled": 1, "map_full": 2}, "cost": {"map_bytes": 4}}`)
	if err != nil {
		t.Fatal(err)
	}
	if s.Samples.Taken != 5 || s.lost() != 3 || *s.Threads != 3 || s.Cost.MapBytes != 4 {
		t.Errorf("%+v", s)
	}
	for _, bad := range []string{"", "{", "{}", `{"start_unix_ns": "x"}`} {
		if _, err := parseSummary(bad); err == nil {
			t.Errorf("%q taken", bad)
		}
	}
}

func TestParseReplay(t *testing.T) {
	other := `{"arm": "a/a", "duration_ns": 1, "metrics": {}}` + "\n"
	for _, c := range []struct {
		record string
		want   values
	}{
		{
			`{"arm": "baseline", "duration_ns": 2000000000, "metrics": {"arrived_count": {"value": 30}, "lost_count": {"value": 1}}}`,
			values{packetRate: 15, lostPackets: 1},
		},
		{
			`{"arm": "baseline", "duration_ns": 1000000000, "metrics": {"arrived_count": {"value": 3}, "arrival_error_p50_ns": {"value": 1500}, "arrival_error_p99_ns": {"value": 9000}}}`,
			values{packetRate: 3, lostPackets: 0, lateP50: 1.5, lateP99: 9},
		},
	} {
		got, err := parseReplay(other + c.record + "\n" + other)
		if diff := cmp.Diff(c.want, got); err != nil || diff != "" {
			t.Errorf("%v (-want +got):\n%s", err, diff)
		}
	}
	for _, bad := range []string{"", other, "x\n", `{"arm": "baseline"}`, `{"arm": "baseline", "duration_ns": 5, "failed": "no"}`} {
		if _, err := parseReplay(bad); err == nil {
			t.Errorf("%q taken", bad)
		}
	}
}

func TestProgramID(t *testing.T) {
	for _, c := range []struct {
		in   string
		id   uint32
		want bool
	}{
		{"pos:\t0\nprog_type:\t7\nprog_jited:\t1\nprog_id:\t6704\nrun_cnt:\t0\n", 6704, true},
		{"link_type:\ttracing\nlink_id:\t3\nprog_tag:\t717dffb41c54903d\nprog_id:\t6704\n", 0, false},
		{"prog_jited:\t1\nprog_id:\tx\n", 0, false},
		{"pos:\t0\n", 0, false},
	} {
		if id, ok := programID(c.in); uint32(id) != c.id || ok != c.want {
			t.Errorf("%q: %d, %v", c.in, id, ok)
		}
	}
}

// What perf script -F comm,ip,sym writes: a whole stack, one with an unknown frame further out, one with an unknown leaf, another command's, and
// a sample without a stack.
const script = `over20ms 
	          401795 work+0x5 (/tmp/over20ms)
	          4017e9 until+0x31 (/tmp/over20ms)

over20ms 
	          401795 work
	               1 [unknown]

over20ms 
	    7f0000000000 [unknown]
	          401795 work

tiny 
	          401795 main

over20ms 
`

func TestNamedInScript(t *testing.T) {
	got, err := namedInScript(script, "over20ms")
	if want := (named{samples: 4, leaf: 2, all: 1}); err != nil || got != want {
		t.Errorf("%+v, %v, want %+v", got, err, want)
	}
}

func TestNamedInProfile(t *testing.T) {
	known := &profile.Location{Line: []profile.Line{{Function: &profile.Function{Name: "work"}}}}
	unknown := &profile.Location{}
	sample := func(comm string, n int64, stack ...*profile.Location) *profile.Sample {
		return &profile.Sample{Location: stack, Value: []int64{n}, Label: map[string][]string{"comm": {comm}}}
	}
	p := &profile.Profile{Sample: []*profile.Sample{
		sample("over20ms", 10, known, known), sample("over20ms", 3, known, unknown), sample("over20ms", 2, unknown, known), sample("over20ms", 1),
		sample("tiny", 100, unknown),
		{Value: []int64{7}},
	}}
	if got, want := namedInProfile(p, "over20ms"), (named{samples: 16, leaf: 13, all: 10}); got != want {
		t.Errorf("%+v, want %+v", got, want)
	}
}

func TestArguments(t *testing.T) {
	for _, c := range []struct{ args, complaint string }{
		{"-rounds 3 cpu offcpu", ""},
		{"-rounds 0", "at least 1"},
		{"-duration 1s", "at least 2s"},
		{"gpu", `benchmark "gpu": want one of cpu offcpu threads processes memory startup transport http`},
	} {
		_, err := parseArgs(strings.Fields(c.args), &strings.Builder{})
		switch {
		case err == nil && c.complaint != "":
			t.Errorf("%q: taken, want %q", c.args, c.complaint)
		case err != nil && (c.complaint == "" || !strings.Contains(err.Error(), c.complaint)):
			t.Errorf("%q: %v, want %q", c.args, err, c.complaint)
		}
	}
}

const wrkOutput = `Running 3s test @ http://127.0.0.1:18080/file
  1 threads and 16 connections
  Thread Stats   Avg      Stdev     Max   +/- Stdev
    Latency   374.32us  125.29us   4.01ms   86.46%
    Req/Sec    41.15k     2.44k   45.03k    70.00%
  122935 requests in 3.01s, 148.55MB read
Requests/sec:  40847.69
Transfer/sec:     49.36MB
`

func TestParseWrk(t *testing.T) {
	requests, elapsed, err := parseWrk(wrkOutput)
	if err != nil || requests != 122935 || elapsed != 3010*time.Millisecond {
		t.Errorf("%v requests in %v, %v; want 122935 in 3.01s", requests, elapsed, err)
	}
	for _, bad := range []string{"", "unable to connect to 127.0.0.1:1 Connection refused", wrkOutput + "  Non-2xx or 3xx responses: 3\n"} {
		if _, _, err := parseWrk(bad); err == nil {
			t.Errorf("%q taken", bad)
		}
	}
}

// TestWaitIn checks the truth that stalls are compared with.
func TestWaitIn(t *testing.T) {
	for at, want := range map[time.Duration]time.Duration{
		0: 0, 899 * time.Millisecond: 0, 900 * time.Millisecond: stallFor, 1995 * time.Millisecond: 5 * time.Millisecond, 2 * time.Second: 0,
	} {
		if got := waitIn(at); got != want {
			t.Errorf("who comes at %v waits %v, want %v", at, got, want)
		}
	}
}
