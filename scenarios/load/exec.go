// SPDX-License-Identifier: Apache-2.0

package load

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os/exec"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/assaylab/assay/scenarios"
)

func execKind() scenarios.Kind {
	return scenarios.Kind{
		Name:  "load/exec",
		About: "runs a command once; what it measured is read from its output",
		Params: []scenarios.Param{
			{
				Name: "command", Type: scenarios.Text,
				About: "program and arguments, with 'quotes' or \"quotes\" where an argument has spaces; no shell reads it",
			},
			{Name: "metric", Type: scenarios.Choice, Default: "regexp", Choices: []string{"benchfmt", "json", "regexp"}, About: "how the output says the number"},
			{
				Name: "pattern", Type: scenarios.Text,
				About: "where it is: a path such as results.0.mean (json), a regular expression with a group around the number (regexp), " +
					"or a benchmark and its unit such as Encode/4K ns/op (benchfmt, as `go test -bench` prints it)",
			},
		},
		New: newCommand,
	}
}

// A command is a program of the user's, run once each time.
type command struct {
	args   []string
	metric metric
}

func newCommand(v scenarios.Values) (scenarios.Workload, error) {
	args, err := split(v.Text("command"))
	if err != nil {
		return nil, fmt.Errorf("parameter command: %w", err)
	}
	m, err := newMetric(v.Text("metric"), v.Text("pattern"))
	if err != nil {
		return nil, fmt.Errorf("parameter pattern: %w", err)
	}
	return &command{args: args, metric: m}, nil
}

// Prepare says whether the program is there.
func (c *command) Prepare(context.Context) error {
	_, err := exec.LookPath(c.args[0])
	return err
}

// Close has nothing to do: a command and what it started end with Run.
func (c *command) Close() error { return nil }

// patience is how long a command may take that was expected to take a time.
func patience(d time.Duration) time.Duration { return 4*d + 10*time.Second }

// Run runs the command once. It is killed, with its children, when the context is done, and after [patience]; children that it leaves
// behind are killed too.
func (c *command) Run(ctx context.Context, d time.Duration) (*scenarios.Outcome, error) {
	limited, cancel := context.WithTimeoutCause(ctx, patience(d), fmt.Errorf("it took longer than %v", patience(d)))
	defer cancel()
	start := time.Now()
	out, errOut, err := execute(limited, c.args)
	elapsed := time.Since(start)
	if limited.Err() != nil {
		err = context.Cause(limited)
	}
	if err != nil {
		return nil, fmt.Errorf("command %s: %w%s", c.args[0], err, lastLine(errOut))
	}
	number, err := c.metric(out, errOut)
	if err != nil {
		return nil, fmt.Errorf("output of %s: %w", c.args[0], err)
	}
	latency := scenarios.NewHistogram()
	scenarios.Note(latency, elapsed)
	return &scenarios.Outcome{Elapsed: elapsed, Operations: 1, Latency: latency, Values: map[string]float64{"metric": number}}, nil
}

// execute runs a program, and returns what it printed. What it started and left behind is killed.
func execute(ctx context.Context, args []string) (out, errOut []byte, err error) {
	group, err := newGroup("")
	if err != nil {
		return nil, nil, err
	}
	outText, errText := head{what: "stdout"}, head{what: "stderr"}
	cmd := exec.CommandContext(ctx, args[0], args[1:]...)
	cmd.Stdout, cmd.Stderr = &outText, &errText
	cmd.WaitDelay = time.Second // for its output, which a child that left the group may still hold
	cmd.Cancel = group.kill
	group.adopt(cmd)
	if err = cmd.Start(); err == nil {
		endErr := awaitEnd(cmd.Process.Pid)
		killErr := group.kill() // before Wait, which waits for all who may still print
		err = errors.Join(cmd.Wait(), endErr, killErr)
	}
	err = errors.Join(err, group.close())
	return outText.text.Bytes(), errText.text.Bytes(), err
}

// awaitEnd waits until a child has ended, and leaves it to be waited for.
func awaitEnd(pid int) error {
	for {
		err := unix.Waitid(unix.P_PID, pid, nil, unix.WEXITED|unix.WNOWAIT, nil)
		if !errors.Is(err, unix.EINTR) {
			return err
		}
	}
}

// maxOutput is how much of a command's output may be.
const maxOutput = 64 << 20

// A head keeps what is written to it, up to maxOutput; more is an error.
type head struct {
	what string
	text bytes.Buffer
}

func (h *head) Write(p []byte) (int, error) {
	if h.text.Len()+len(p) > maxOutput {
		return 0, fmt.Errorf("%s: more than %d MiB", h.what, maxOutput>>20)
	}
	return h.text.Write(p)
}

// lastLine returns the last line of a text, set off from what comes before it.
func lastLine(text []byte) string {
	said := strings.TrimSpace(string(text))
	if said == "" {
		return ""
	}
	return ": " + said[strings.LastIndexByte(said, '\n')+1:]
}
