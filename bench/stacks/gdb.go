// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
)

// A debugger is a gdb that has started a program and waits.
type debugger struct {
	cmd   *exec.Cmd
	id    int // of the program
	said  *bufio.Reader
	files []*os.File
	goOn  *os.File
}

func (l *lab) startDebugger(ctx context.Context, work string, args []string) (*debugger, error) {
	script := filepath.Join(l.folder, "programs", "stops.py")
	cmd := exec.CommandContext(ctx, "gdb", append([]string{"-q", "-nx", "-batch", "-x", script, "--args"}, args...)...)
	cmd.Dir = work
	out, outW, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	inR, in, err := os.Pipe()
	if err != nil {
		return nil, errors.Join(err, out.Close(), outW.Close())
	}
	cmd.ExtraFiles = []*os.File{outW, inR}
	cmd.Env = append(os.Environ(), "STOPS_OUT=3", "STOPS_IN=4", "STOPS="+strconv.Itoa(l.settings.stops))
	d := &debugger{cmd: cmd, said: bufio.NewReader(out), goOn: in, files: []*os.File{out, in}}
	err = cmd.Start()
	err = errors.Join(err, outW.Close(), inR.Close())
	if err == nil {
		_, err = fmt.Fscanln(d.said, &d.id)
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("gdb: %w", err), d.end())
	}
	return d, nil
}

func (d *debugger) pid() int { return d.id }

// stops lets the program go and reads what gdb finds at its stops.
func (d *debugger) stops() ([]stop, error) {
	if _, err := d.goOn.Write([]byte{'\n'}); err != nil {
		return nil, err
	}
	var all []stop
	for {
		line, err := d.said.ReadBytes('\n')
		if errors.Is(err, io.EOF) {
			return all, nil
		}
		if err != nil {
			return nil, err
		}
		var s stop
		if err := json.Unmarshal(line, &s); err != nil {
			return nil, fmt.Errorf("gdb said %q: %w", line, err)
		}
		all = append(all, s)
	}
}

// end waits for gdb, which ends by itself when nobody listens any more.
func (d *debugger) end() error {
	var errs []error
	for _, f := range d.files {
		errs = append(errs, f.Close())
	}
	if d.cmd.Process != nil {
		errs = append(errs, d.cmd.Wait())
	}
	return errors.Join(errs...)
}
