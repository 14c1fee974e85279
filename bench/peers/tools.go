// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"os"
	"time"

	"github.com/google/pprof/profile"
)

const (
	stacksScript = `profile:hz:997 { @[kstack, ustack, comm] = count(); }`
	// What a thread left behind at the switch away from it is joined with the time when it comes back.
	offCPUScript = `tracepoint:sched:sched_switch {
	@start[tid] = nsecs; @kernel[tid] = kstack; @user[tid] = ustack;
	$since = @start[args->next_pid];
	if ($since) {
		@off[@kernel[args->next_pid], @user[args->next_pid], args->next_comm] = sum(nsecs - $since);
		delete(@start[args->next_pid]);
	}
}`
)

// settle is how long a recorder gets to attach before what it records begins.
const settle = time.Second

// launchAssay starts a recording of the whole machine; its profile goes to the lab's profile.pb.gz, its summary to stdout.
func (l *lab) launchAssay(args ...string) (*child, error) {
	return launch(l.assay, append([]string{"record", "--json", "-o", l.path("profile.pb.gz")}, args...)...)
}

// noBuildIDs keeps perf from looking, when it ends, for the build IDs of what was sampled. That look is its default, but on kernel 6.18 perf 6.1 often
// breaks off in it; and without it perf is the cheaper peer.
const noBuildIDs = "-B"

// launchPerf starts perf record on the whole machine, into the lab's perf.data.
func (l *lab) launchPerf(args ...string) (*child, error) {
	return launch("perf", append([]string{"record", "-a", "-g", "-o", l.path("perf.data")}, args...)...)
}

// recordAssay records for a while and returns what the summary, the profile's file and the kernel say.
func (l *lab) recordAssay(d time.Duration, args ...string) (*summary, usage, error) {
	c, err := l.launchAssay(append(args, "--duration", d.String())...)
	if err != nil {
		return nil, usage{}, err
	}
	used, err := c.wait()
	if err != nil {
		return nil, usage{}, err
	}
	s, err := parseSummary(c.out.String())
	return s, used, err
}

// recordPerf records for a while.
func (l *lab) recordPerf(d time.Duration, args ...string) (*child, usage, error) {
	c, err := l.launchPerf(args...)
	if err != nil {
		return nil, usage{}, err
	}
	time.Sleep(d)
	used, err := c.interrupt()
	return c, used, err
}

// profile reads what assay wrote last.
func (l *lab) profile() (*profile.Profile, error) {
	f, err := os.Open(l.path("profile.pb.gz"))
	if err != nil {
		return nil, err
	}
	defer f.Close()
	p, err := profile.Parse(f)
	if err != nil {
		return nil, fmt.Errorf("profile of assay: %w", err)
	}
	return p, nil
}

func milliseconds(d time.Duration) float64 { return float64(d) / 1e6 }

func megabytes(bytes int64) float64 { return float64(bytes) / 1e6 }
