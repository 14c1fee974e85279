// SPDX-License-Identifier: Apache-2.0

package syscall

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"slices"
	"time"

	"github.com/assaylab/assay/scenarios"
	"github.com/assaylab/assay/scenarios/syscall/replay"
	"github.com/assaylab/assay/scenarios/syscall/trace"
)

const paceRecorded, paceFast = "recorded", "fast"

func replayKind() scenarios.Kind {
	return scenarios.Kind{
		Name:  "syscall/replay",
		About: "makes the system calls of a recording again, in a sandbox that has the files, pipes and peers which it implies",
		Params: []scenarios.Param{
			{Name: "file", Type: scenarios.Path, About: "the recording: by assay capture syscalls, or the text of strace -f -ttt -T. Needed"},
			{
				Name: "pace", Type: scenarios.Choice, Default: paceRecorded, Choices: []string{paceRecorded, paceFast},
				About: "recorded: with the time between calls that the recording has; fast: without",
			},
			{Name: "speed", Type: scenarios.Float, Default: "1", Min: 0.01, Max: 100, About: "of pace recorded: 2 halves the time between calls"},
			{
				Name: "folder", Type: scenarios.Path,
				About: "in which the sandbox is made, best on a file system like the recording's; without it the folder for temporary files",
			},
		},
		Needs: []scenarios.Need{scenarios.NeedRoot},
		New: func(v scenarios.Values) (scenarios.Workload, error) {
			options := replay.Options{Folder: v.Text("folder"), Speed: v.Float("speed")}
			if v.Text("pace") == paceFast {
				options.Speed = 0
			}
			if v.Text("file") == "" {
				return nil, errors.New("parameter file: it's empty; want a recording")
			}
			return &replaying{file: v.Text("file"), options: options}, nil
		},
	}
}

// A replaying is a recording that is replayed over and over.
type replaying struct {
	file    string
	options replay.Options
	notes   []string // of the recording
	replay  *replay.Replay
}

// Prepare reads the recording and makes the folder of the sandbox.
func (r *replaying) Prepare(ctx context.Context) error {
	recording, err := loadRecording(r.file)
	if err != nil {
		return fmt.Errorf("%s: %w", r.file, err)
	}
	r.notes = recording.Notes
	for _, cause := range slices.Sorted(maps.Keys(recording.Lost)) {
		r.notes = append(r.notes, fmt.Sprintf("the recording lacks %d calls or parts of them: %s", recording.Lost[cause], cause))
	}
	if recording.Strace {
		r.notes = append(r.notes, "the recording is strace's, whose times have strace's own work in them: only the numbers of calls compare")
	}
	if r.replay, err = replay.New(recording, r.options); err != nil {
		return fmt.Errorf("%s: %w", r.file, err)
	}
	return r.replay.Prepare(ctx)
}

func loadRecording(name string) (*trace.Recording, error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return trace.Load(f)
}

// Run replays the recording from the beginning until the time is over; a replay that has begun is finished. Each has a fresh sandbox,
// the making of which is not in the elapsed time. An operation is a call.
func (r *replaying) Run(ctx context.Context, d time.Duration) (*scenarios.Outcome, error) {
	var sum replay.Fidelity
	for begin := time.Now(); sum.Passes == 0 || time.Since(begin) < d && ctx.Err() == nil; {
		f, err := r.replay.Run(ctx)
		if err != nil {
			if ctx.Err() != nil && sum.Passes > 0 {
				break
			}
			return nil, err
		}
		sum.Add(f)
	}
	return r.outcome(&sum), nil
}

func (r *replaying) outcome(f *replay.Fidelity) *scenarios.Outcome {
	o := &scenarios.Outcome{Elapsed: f.Elapsed, Operations: f.Made(), Errors: f.Withheld(), Latency: f.Latency}
	o.Values = f.Values()
	o.Notes = append(append([]string{}, r.notes...), f.Notes()...)
	return o
}

// Close removes the sandbox.
func (r *replaying) Close() error {
	if r.replay == nil {
		return nil
	}
	return r.replay.Close()
}
