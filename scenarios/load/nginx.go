// SPDX-License-Identifier: Apache-2.0

package load

import (
	"context"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/valyala/fasthttp"

	"github.com/assaylab/assay/scenarios"
)

func nginxKind() scenarios.Kind {
	return scenarios.Kind{
		Name:  "load/nginx",
		About: "starts nginx with a configuration of its own and asks it for a file",
		Needs: []scenarios.Need{"nginx"},
		Params: slices.Concat([]scenarios.Param{
			{Name: "size", Type: scenarios.Size, Default: "1K", Max: maxAnswer, About: "of the file"},
			{Name: "workers", Type: scenarios.Int, Default: "1", Min: 1, Max: 64, About: "processes that answer"},
			portParam(),
		}, generatorParams()),
		New: func(v scenarios.Values) (scenarios.Workload, error) {
			g, err := newGenerator(v)
			return &nginxLoad{values: v, generator: g}, err
		},
	}
}

// nginxConfig is what nginx needs to answer from the folder in which it runs: the paths that are compiled in belong to the machine's own.
const nginxConfig = `worker_processes %d;
daemon off;
pid pid;
error_log stderr;
events { worker_connections 8192; }
http {
	access_log off;
	keepalive_requests 1000000000;
	client_body_temp_path body;
	proxy_temp_path proxy;
	fastcgi_temp_path fastcgi;
	uwsgi_temp_path uwsgi;
	scgi_temp_path scgi;
	server { listen %s; root .; location /file { } }
}
`

type nginxLoad struct {
	values    scenarios.Values
	generator *generator
	server    *server
	request   []byte
}

func (l *nginxLoad) Prepare(ctx context.Context) (err error) {
	if err := l.generator.prepare(); err != nil {
		return err
	}
	if l.server, err = newServer(ctx, "nginx", l.values.Int("port")); err != nil {
		return err
	}
	if l.request, err = encode(fasthttp.MethodGet, &url.URL{Scheme: "http", Host: l.server.address(), Path: "/file"}, nil); err != nil {
		return err
	}
	config := fmt.Sprintf(nginxConfig, l.values.Int("workers"), l.server.address())
	if err := l.server.write("conf", []byte(config)); err != nil {
		return err
	}
	if err := l.server.write("file", []byte(strings.Repeat("x", l.values.Size("size")))); err != nil {
		return err
	}
	return l.server.start(ctx, "-p", l.server.folder, "-c", l.server.path("conf"), "-e", "stderr")
}

func (l *nginxLoad) Run(ctx context.Context, d time.Duration) (*scenarios.Outcome, error) {
	f := fleet{
		addresses: []string{l.server.address()}, timeout: l.values.Duration("timeout"), size: l.values.Int("connections"),
		dialog: func() dialog { return &httpDialog{requests: func(int) []byte { return l.request }} },
	}
	return f.run(ctx, d, l.generator)
}

func (l *nginxLoad) Close() error { return l.server.close() }
