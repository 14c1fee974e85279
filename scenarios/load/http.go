// SPDX-License-Identifier: Apache-2.0

package load

import (
	"context"
	"runtime"
	"slices"
	"time"

	"github.com/valyala/fasthttp"

	"github.com/assaylab/assay/scenarios"
)

func httpKind() scenarios.Kind {
	return scenarios.Kind{
		Name:  "load/http",
		About: "asks an HTTP service on this machine, at a rate or as fast as it answers",
		Params: slices.Concat([]scenarios.Param{
			{Name: "url", Type: scenarios.Text, About: "of a service on this machine, such as http://127.0.0.1:8080; none: one that is built in and has nothing to do"},
			{
				Name: "method", Type: scenarios.Choice, Default: fasthttp.MethodGet,
				Choices: []string{fasthttp.MethodGet, fasthttp.MethodPost, fasthttp.MethodPut}, About: "of each request",
			},
			{Name: "path", Type: scenarios.Text, About: "and query of each request; none: that of the url"},
			{Name: "body_size", Type: scenarios.Size, Default: "0", Max: 1 << 30, About: "of each request, for POST and PUT: random bytes"},
		}, generatorParams()),
		New: func(v scenarios.Values) (scenarios.Workload, error) { return newHTTPLoad(v, costs{}) },
	}
}

func serviceKind() scenarios.Kind {
	return scenarios.Kind{
		Name:   "load/service",
		About:  "asks a built-in HTTP service whose requests take CPU, a lock and I/O, and that can stall",
		Params: slices.Concat(serviceParams(), generatorParams()),
		New: func(v scenarios.Values) (scenarios.Workload, error) {
			c, err := newCosts(v)
			if err != nil {
				return nil, err
			}
			return newHTTPLoad(withDefaults(v), c)
		},
	}
}

// withDefaults adds the parameters that load/http has and other kinds haven't.
func withDefaults(v scenarios.Values) scenarios.Values {
	all := scenarios.Values{"url": "", "method": fasthttp.MethodGet, "path": "", "body_size": "0"}
	for name, text := range v {
		all[name] = text
	}
	return all
}

// httpLoad is a generator whose operations are HTTP requests, and the service that it asks if that is built in.
type httpLoad struct {
	values      scenarios.Values
	generator   *generator
	connections int
	costs       costs
	service     *service // nil: somebody else's, or not prepared
	target      *target
	undo        func() // of useThreads
}

func newHTTPLoad(v scenarios.Values, c costs) (*httpLoad, error) {
	g, err := newGenerator(v)
	if err != nil {
		return nil, err
	}
	return newHTTPLoadWith(g, v, c)
}

func newHTTPLoadWith(g *generator, v scenarios.Values, c costs) (_ *httpLoad, err error) {
	l := &httpLoad{values: v, generator: g, connections: v.Int("connections"), costs: c, undo: func() {}}
	url := v.Text("url")
	if url == "" {
		url = "http://127.0.0.1" // until the service has a port: to find what is wrong with the rest
	}
	l.target, err = newTarget(url, v)
	return l, err
}

// Prepare reads what the load is to follow, and starts the service, if it is the built-in one.
func (l *httpLoad) Prepare(ctx context.Context) error {
	if err := l.generator.prepare(); err != nil {
		return err
	}
	return l.start(ctx)
}

func (l *httpLoad) start(ctx context.Context) error {
	if l.values.Text("url") != "" {
		return nil
	}
	var err error
	if l.service, err = startService(ctx, l.costs); err != nil {
		return err
	}
	// As if the service were a process of its own: the kernel, not the runtime, shares the CPUs between it and the generator. More
	// processors than this make the runtime slow, which looks for work in each.
	l.undo = scenarios.UseThreads(min(l.connections, 64) + runtime.NumCPU())
	l.target, err = newTarget(l.service.url(), l.values)
	return err
}

// Run connects, and then loads the service.
func (l *httpLoad) Run(ctx context.Context, d time.Duration) (*scenarios.Outcome, error) {
	return l.run(ctx, d, l.generator, func() dialog {
		return &httpDialog{requests: func(int) []byte { return l.target.request }}
	})
}

func (l *httpLoad) run(ctx context.Context, d time.Duration, g *generator, dialog func() dialog) (*scenarios.Outcome, error) {
	f := fleet{addresses: l.target.addresses, timeout: l.values.Duration("timeout"), size: l.connections, dialog: dialog}
	if l.service != nil {
		f.began = l.service.begin
	}
	return f.run(ctx, d, g)
}

// Close stops the service.
func (l *httpLoad) Close() error {
	l.undo()
	l.undo = func() {}
	if l.service == nil {
		return nil
	}
	err := l.service.close()
	l.service = nil
	return err
}
