// SPDX-License-Identifier: Apache-2.0

package doctor

import (
	"context"
	"fmt"
	"slices"

	"github.com/assaylab/assay/internal/caps"
)

// LoadResult is how the load of one of Assay's own eBPF objects went.
type LoadResult struct {
	Name string
	Err  error // nil when it loaded
	// Modes are those that need the object; none given means all.
	Modes []string
}

func (l LoadResult) modes() []string {
	if len(l.Modes) == 0 {
		return modes
	}
	return l.Modes
}

// Options say how Run works. The zero value checks everything but the load of
// Assay's own objects.
type Options struct {
	// LoadObjects loads and unloads Assay's own objects. Nil leaves this out.
	LoadObjects func() []LoadResult
}

// row is a check that waits to be made.
type row struct {
	group, name string
	need        Need
	costs       string   // what it costs to be without
	wants       caps.Set // capabilities whose lack explains a refusal
	fix         string   // what mends it where those are there
	look        func(*host) finding
}

// finding is what a look at the machine yields.
type finding struct {
	status Status
	found  string
	fix    string
}

func (r row) check(h *host) Check {
	f := r.look(h)
	c := Check{Group: r.group, Name: r.name, Need: r.need, Status: f.status, Found: oneLine(f.found), Costs: r.costs}
	if f.status != OK && r.need != Unused {
		c.Fix = r.mends(h, f)
	}
	return c
}

// mends picks the remedy: the finding's own, then a capability that lacks, then
// more rights to look, then what else can be done.
func (r row) mends(h *host, f finding) string {
	if f.fix != "" {
		return f.fix
	}
	for _, c := range r.wants.Caps() {
		if !h.effective.Has(c) {
			return h.grant(c)
		}
	}
	if f.status == Unknown {
		return h.seeMore()
	}
	return r.fix
}

// rows is the table of all checks, in the order in which they are told.
func rows() []row {
	return slices.Concat(
		kernelRows, capabilityRows(), settingRows(), eventRows, programRows(), mapRows(), reachRows, placeRows)
}

// Run makes all checks. That takes well under a second and leaves nothing
// behind. An error means that not even the ground of the checks could be
// found, or that ctx ended; whatever a check runs into is in its Found.
func Run(ctx context.Context, opts Options) (*Report, error) {
	h, err := thisHost()
	if err != nil {
		return nil, err
	}
	r := &Report{Kernel: h.release, Arch: h.machine, UID: h.uid, Capabilities: []string{}}
	for _, c := range h.effective.Caps() {
		r.Capabilities = append(r.Capabilities, c.String())
	}
	for _, row := range rows() {
		if err := ctx.Err(); err != nil {
			return nil, fmt.Errorf("doctor: %w", err)
		}
		r.Checks = append(r.Checks, row.check(h))
	}
	var loads []LoadResult
	if opts.LoadObjects != nil {
		loads = opts.LoadObjects()
	}
	for _, l := range loads {
		r.Checks = append(r.Checks, l.check())
	}
	r.Foretold = Predict(h.effective, h.env())
	r.conclude(loads)
	return r, nil
}

func (l LoadResult) check() Check {
	return row{
		group: "objects", name: l.Name, need: Core,
		costs: "no recording in the modes that need the object " + l.Name,
		fix:   "mend what the checks above show as missing",
		look:  func(*host) finding { return tried("loads", l.Err) },
	}.check(nil)
}
