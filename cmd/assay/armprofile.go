// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"path/filepath"
	"strings"

	"github.com/assaylab/assay/internal/pprofio"
	"github.com/assaylab/assay/profiler"
)

// armProfiler writes a profile of each arm of an experiment to a folder: its time on CPUs and its waits.
type armProfiler struct{ folder string }

// Profile records from when the programs run until the work is done.
func (a armProfiler) Profile(ctx context.Context, arm string, pid int, work func() error) (err error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	started, ended := make(chan struct{}), make(chan struct{})
	var opts profiler.Options
	opts.Modes, opts.Freq, opts.PIDs, opts.Children = []profiler.Mode{profiler.CPU, profiler.OffCPU}, defaultFreq, []int{pid}, true
	opts.Started = func() { close(started) }
	var rec *profiler.Recording
	var recErr error
	go func() {
		defer close(ended)
		rec, recErr = profiler.Record(ctx, opts)
	}()
	select {
	case <-ended:
		return recErr
	case <-started:
	}
	workErr := work()
	cancel()
	<-ended
	if recErr != nil {
		return errors.Join(workErr, recErr)
	}
	defer func() { err = errors.Join(err, rec.Close()) }()
	if workErr != nil {
		return workErr
	}
	if err := finish(rec, opts, nameFlags{}); err != nil {
		return err
	}
	return pprofio.WriteFile(filepath.Join(a.folder, strings.ReplaceAll(arm, "/", "-")+".pb.gz"), rec.Profile)
}
