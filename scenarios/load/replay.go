// SPDX-License-Identifier: Apache-2.0

package load

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/valyala/fasthttp"

	"github.com/assaylab/assay/scenarios"
	"github.com/assaylab/assay/scenarios/load/accesslog"
)

func replayKind() scenarios.Kind {
	return scenarios.Kind{
		Name:  "load/replay",
		About: "asks an HTTP service on this machine for what an access log says, when it says",
		Params: []scenarios.Param{
			{
				Name: "file", Type: scenarios.Path,
				About: "access log in the common or combined format, or, if its name ends with .csv, time,method,path,size; a run ends with it",
			},
			{
				Name: "url", Type: scenarios.Text, About: "of a service on this machine, such as http://127.0.0.1:8080, which is asked for the paths " +
					"of the log, without bodies; none: one that is built in, ignores the path and answers as many bytes as the log says, at most 64M",
			},
			{
				Name: "methods", Type: scenarios.Choice, Default: "safe", Choices: []string{"safe", "all"},
				About: "of the log that url is asked with: safe ones, which only read (GET, HEAD, OPTIONS, TRACE; RFC 9110, 9.2.1), or all, also DELETE",
			},
			{Name: "speed", Type: scenarios.Float, Default: "1", Min: 0.001, Max: 1e6, About: "how many times faster than recorded"},
			{Name: "from", Type: scenarios.Text, About: "time of the log before which all is left out, such as 2026-11-24T17:00:00Z; none: its begin"},
			{Name: "until", Type: scenarios.Text, About: "time of the log from which on all is left out; none: its end"},
			{Name: "connections", Type: scenarios.Int, Default: "16", Min: 1, Max: maxConnections, About: "how many operations there may be at a time"},
			{Name: "timeout", Type: scenarios.Duration, Default: "5s", Min: 0.001, Max: 300, About: "after which, or a 64th of it later, an operation has failed, from when it really started"},
		},
		New: newReplay,
	}
}

// replay is a load whose operations are those of a recording.
type replay struct {
	*httpLoad
	timetable
	unsafe int // requests that were left out, since they could change something
}

func newReplay(v scenarios.Values) (scenarios.Workload, error) {
	if v.Text("file") == "" {
		return nil, errors.New("parameter file: want an access log, or CSV of time,method,path,size")
	}
	r := &replay{timetable: timetable{file: v.Text("file"), options: accesslog.Options{Format: accesslog.Log}, speed: v.Float("speed")}}
	if strings.HasSuffix(v.Text("file"), ".csv") {
		r.options.Format = accesslog.CSV
	}
	for name, to := range map[string]*time.Time{"from": &r.options.From, "until": &r.options.Until} {
		if v.Text(name) == "" {
			continue
		}
		var err error
		if *to, err = accesslog.ParseTime(v.Text(name)); err != nil {
			return nil, fmt.Errorf("parameter %s: %w", name, err)
		}
	}
	if !r.options.Until.IsZero() && !r.options.From.Before(r.options.Until) {
		return nil, fmt.Errorf("from %s is not before until %s", v.Text("from"), v.Text("until"))
	}
	var err error
	r.httpLoad, err = newHTTPLoadWith(&generator{timetable: &r.timetable}, withDefaults(v), costs{})
	return r, err
}

// Prepare reads the log, and starts the service if it is the built-in one.
func (r *replay) Prepare(ctx context.Context) error {
	var unwanted func(accesslog.Request) bool
	if r.values.Text("url") != "" && r.values.Text("methods") == "safe" {
		unwanted = mayChange
	}
	var err error
	if r.unsafe, err = r.read(unwanted); err != nil {
		return err
	}
	if len(r.times) == 0 {
		return fmt.Errorf("%s: all %d requests could change something at the url: want methods=all to send them", r.file, r.unsafe)
	}
	return r.start(ctx)
}

// mayChange tells what a service that isn't ours can't be asked again without harm.
func mayChange(q accesslog.Request) bool {
	switch q.Method {
	case fasthttp.MethodGet, fasthttp.MethodHead, fasthttp.MethodOptions, fasthttp.MethodTrace:
		return false
	}
	return true
}

// Run replays the log until the time is over or the log is.
func (r *replay) Run(ctx context.Context, d time.Duration) (*scenarios.Outcome, error) {
	o, err := r.run(ctx, d, r.generator, func() dialog {
		var text []byte // of one client
		return &httpDialog{requests: func(n int) []byte {
			text = r.append(text[:0], &r.recording.Requests[n])
			return text
		}}
	})
	if err != nil {
		return nil, err
	}
	o.Values["outside_count"] = float64(r.recording.Outside)
	o.Values["unsafe_count"] = float64(r.unsafe)
	if r.unsafe > 0 {
		o.Notes = append(o.Notes, fmt.Sprintf("%d requests could change something at the url and were left out; methods=all sends them", r.unsafe))
	}
	return o, nil
}

// append writes a request as it goes over the wire. A log's methods and paths were checked, so nothing in them can end a line.
func (r *replay) append(text []byte, q *accesslog.Request) []byte {
	text = append(append(append(append(text, q.Method...), ' '), q.Path...), " HTTP/1.1\r\nHost: "...)
	text = append(append(text, r.target.host...), "\r\n"...)
	if r.service != nil {
		text = strconv.AppendInt(append(text, sizeHeader+": "...), int64(q.Size), 10)
		text = append(text, "\r\n"...)
	}
	switch q.Method {
	case fasthttp.MethodPost, fasthttp.MethodPut, fasthttp.MethodPatch:
		text = append(text, "Content-Length: 0\r\n"...)
	}
	return append(text, "\r\n"...)
}
