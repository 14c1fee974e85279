// SPDX-License-Identifier: Apache-2.0

package profiler

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"time"

	"golang.org/x/sys/unix"
)

// javaMaps are perf maps that Java processes wrote because we asked them to.
type javaMaps []javaMap

type javaMap struct {
	root *os.File // of the process
	name string   // below root
}

const (
	askJavaFor  = 10 * time.Second // that a process has to write its map
	maxJavaMaps = 1000
)

// askForJavaMaps has each Java process that was recorded and lives write its perf map.
func (r *Recorder) askForJavaMaps() {
	r.agg.mu.Lock()
	defer r.agg.mu.Unlock()
	asked := 0
	for _, pid := range r.javaProcesses() {
		if asked++; asked > maxJavaMaps {
			r.degraded = append(r.degraded, fmt.Sprintf("only %d Java processes were asked for the names of their code", maxJavaMaps))
			return
		}
		m, err := askForJavaMap(pid)
		if err != nil {
			r.degraded = append(r.degraded, fmt.Sprintf("no names of compiled code from Java process %d: %v", pid, err))
			continue
		}
		if m.root != nil {
			r.javaMaps = append(r.javaMaps, m)
		}
	}
}

// javaProcesses are those with samples that have a JVM mapped.
func (r *Recorder) javaProcesses() []int {
	var pids []int
	for key := range r.agg.counts {
		if im := key.image; im != nil && !slices.Contains(pids, im.pid) && im.hasFile("libjvm.so") {
			pids = append(pids, im.pid)
		}
	}
	slices.Sort(pids)
	return pids
}

func (im *image) hasFile(base string) bool {
	return slices.ContainsFunc(im.maps, func(m timedMapping) bool { return filepath.Base(m.path) == base })
}

// askForJavaMap asks one process. The result has no root when there was a map before, which is not ours to remove.
func askForJavaMap(pid int) (m javaMap, err error) {
	root, err := os.OpenFile(fmt.Sprintf("/proc/%d/root", pid), unix.O_PATH|unix.O_DIRECTORY, 0)
	if err != nil {
		return m, errors.New("it has ended: start it with -XX:+UnlockDiagnosticVMOptions -XX:+DumpPerfMapAtExit")
	}
	o := &object{pid: pid, root: root}
	before := ""
	if f, err := o.openPerfMap(); err == nil {
		before = f.Name()
		if err := f.Close(); err != nil {
			return m, errors.Join(err, root.Close())
		}
	}
	ctx, cancel := context.WithTimeout(context.Background(), askJavaFor)
	defer cancel()
	cmd := exec.CommandContext(ctx, "jcmd", strconv.Itoa(pid), "Compiler.perfmap")
	cmd.WaitDelay = time.Second
	if out, err := cmd.CombinedOutput(); errors.Is(err, exec.ErrNotFound) {
		return m, errors.Join(errors.New("there is no jcmd here: install a JDK"), root.Close())
	} else if err != nil {
		line, _, _ := bytes.Cut(bytes.TrimSpace(out), []byte("\n"))
		return m, errors.Join(fmt.Errorf("jcmd: %w: %s", err, line), root.Close())
	}
	f, err := o.openPerfMap()
	if err != nil {
		return m, errors.Join(fmt.Errorf("jcmd wrote no map: %w", err), root.Close())
	}
	m = javaMap{root: root, name: f.Name()}
	if err := f.Close(); err != nil || m.name == before {
		return javaMap{}, errors.Join(err, root.Close())
	}
	return m, nil
}

// remove takes the maps back.
func (maps javaMaps) remove() error {
	var errs []error
	for _, m := range maps {
		err := unix.Unlinkat(int(m.root.Fd()), m.name, 0)
		if err != nil && !errors.Is(err, unix.ENOENT) {
			errs = append(errs, fmt.Errorf("remove the perf map that was asked for: /%s: %w", m.name, err))
		}
		errs = append(errs, m.root.Close())
	}
	return errors.Join(errs...)
}
