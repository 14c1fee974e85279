// SPDX-License-Identifier: Apache-2.0

package main_test

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"testing"
	"time"

	"golang.org/x/tools/txtar"
	"rsc.io/script"
	"rsc.io/script/scripttest"

	"github.com/assaylab/assay/internal/truth"
	"github.com/assaylab/assay/scenarios/knobs"
)

// TestScripts runs the scripts in testdata/script: what the command says and leaves behind, above all where it can't do what it is asked. Beside
// the usual commands (see rsc.io/script) they have assay; the program split of known truth is in the PATH.
func TestScripts(t *testing.T) {
	engine := &script.Engine{Cmds: scripttest.DefaultCmds(), Conds: scripttest.DefaultConds()}
	engine.Cmds["assay"] = script.Program(assayPath, nil, time.Second)
	split := truth.Build(t, "split.c")
	scripts, err := filepath.Glob("testdata/script/*.txt")
	if err != nil || len(scripts) == 0 {
		t.Fatalf("scripts: %v, %v", scripts, err)
	}
	for _, file := range scripts {
		t.Run(filepath.Base(file), func(t *testing.T) {
			archive, err := txtar.ParseFile(file)
			if err != nil {
				t.Fatal(err)
			}
			ctx, cancel := context.WithTimeout(t.Context(), patience)
			defer cancel()
			state, err := script.NewState(ctx, t.TempDir(), scriptEnv(t, split))
			if err != nil {
				t.Fatal(err)
			}
			if err := state.ExtractFiles(archive); err != nil {
				t.Fatal(err)
			}
			scripttest.Run(t, engine, state, file, bytes.NewReader(archive.Comment))
		})
	}
}

// scriptEnv is the environment of a script: nothing of ours that could change what a command says, and a journal of its own.
func scriptEnv(t *testing.T, program string) []string {
	t.Helper()
	path := filepath.Dir(assayPath) + ":" + filepath.Dir(program) + ":/usr/sbin:/usr/bin:/sbin:/bin"
	return []string{"PATH=" + path, "HOME=" + t.TempDir(), "LC_ALL=C", "ASSAY=" + assayPath, "TMPDIR=" + os.TempDir(), knobs.StateVariable + "=" + t.TempDir()}
}
