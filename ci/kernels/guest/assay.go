// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os/exec"
	"strings"
	"time"
)

// commandLimit ends a program that hangs, so that the checks after it still run.
const commandLimit = time.Minute

// maxOutput bounds what a result carries of a program's output, in bytes.
const maxOutput = 64 << 10

// assay runs the command under test and returns what it printed, complaints apart.
func assay(args ...string) (out, complaints string, err error) {
	ctx, cancel := context.WithTimeout(context.Background(), commandLimit)
	defer cancel()
	cmd := exec.CommandContext(ctx, "/bin/assay", args...)
	cmd.Dir = "/tmp"
	cmd.Env = []string{"PATH=/bin", "HOME=/tmp"}
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	err = cmd.Run()
	if ctx.Err() != nil {
		err = fmt.Errorf("still running after %s", commandLimit)
	}
	if err != nil {
		err = fmt.Errorf("assay %s: %w", strings.Join(args, " "), err)
	}
	return cut(stdout.String()), cut(stderr.String()), err
}

func cut(text string) string {
	return text[:min(len(text), maxOutput)]
}

// version runs the smallest command: the binary starts.
func version() (observation, error) {
	out, complaints, err := assay("version")
	line, _, _ := strings.Cut(out, "\n")
	return observation{detail: line, output: complaints}, err
}

// doctor asks what this kernel lets assay do. Nothing that assay needs may be missing: PID 1 of a guest has all rights.
func doctor() (observation, error) {
	out, complaints, err := assay("doctor", "--json")
	if err == nil && !json.Valid([]byte(out)) {
		err = errors.New("doctor --json printed no JSON")
	}
	return observation{output: out + complaints}, err
}
