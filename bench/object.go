// SPDX-License-Identifier: Apache-2.0

package bench

import (
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/link"
)

// object is an eBPF object that is loaded and attached beside the workload.
type object struct {
	path string
	spec *ebpf.CollectionSpec
}

// newObject reads an object and makes sure that each of its programs is of a type that we can attach.
func newObject(path string) (*object, error) {
	spec, err := ebpf.LoadCollectionSpec(path)
	if err != nil {
		return nil, fmt.Errorf("eBPF object %s: %w", path, err)
	}
	if len(spec.Programs) == 0 {
		return nil, fmt.Errorf("eBPF object %s: no program in it", path)
	}
	for name, p := range spec.Programs {
		if _, ok := attachers[p.Type]; !ok {
			return nil, fmt.Errorf("eBPF object %s: program %s is of type %s; tracing, raw tracepoint and tracepoint programs can be attached", path, name, p.Type)
		}
	}
	return &object{path, spec}, nil
}

// attachers attach a program by what its section says.
var attachers = map[ebpf.ProgramType]func(p *ebpf.Program, spec *ebpf.ProgramSpec) (link.Link, error){
	ebpf.Tracing: func(p *ebpf.Program, _ *ebpf.ProgramSpec) (link.Link, error) {
		return link.AttachTracing(link.TracingOptions{Program: p})
	},
	ebpf.RawTracepoint: func(p *ebpf.Program, spec *ebpf.ProgramSpec) (link.Link, error) {
		_, name, _ := strings.Cut(spec.SectionName, "/")
		return link.AttachRawTracepoint(link.RawTracepointOptions{Name: name, Program: p})
	},
	ebpf.TracePoint: func(p *ebpf.Program, spec *ebpf.ProgramSpec) (link.Link, error) {
		parts := strings.Split(spec.SectionName, "/")
		if len(parts) != 3 {
			return nil, fmt.Errorf("section %s: want tracepoint/GROUP/NAME", spec.SectionName)
		}
		return link.Tracepoint(parts[1], parts[2], p, nil)
	},
}

// attached is an object whose programs run.
type attached struct {
	coll  *ebpf.Collection
	links []io.Closer
}

// start loads and attaches all programs.
func (o *object) start() (running, error) {
	coll, err := ebpf.NewCollection(o.spec.Copy())
	if err != nil {
		return nil, fmt.Errorf("eBPF object %s: %w", o.path, err)
	}
	on := &attached{coll: coll}
	for name, p := range coll.Programs {
		spec := o.spec.Programs[name]
		l, err := attachers[spec.Type](p, spec)
		if err != nil {
			_, stopErr := on.stop()
			return nil, errors.Join(fmt.Errorf("eBPF object %s: attach %s: %w", o.path, name, err), stopErr)
		}
		on.links = append(on.links, l)
	}
	return on, nil
}

// cpu is 0: the time of the programs is that of the workload and the kernel.
func (a *attached) cpu() (time.Duration, error) { return 0, nil }

func (a *attached) stop() (spent, error) {
	var errs []error
	for _, l := range a.links {
		errs = append(errs, l.Close())
	}
	a.coll.Close()
	return spent{}, errors.Join(errs...)
}
