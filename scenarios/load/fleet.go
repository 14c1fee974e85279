// SPDX-License-Identifier: Apache-2.0

package load

import (
	"cmp"
	"context"
	"errors"
	"time"

	"github.com/assaylab/assay/scenarios"
)

// A fleet is clients of one server.
type fleet struct {
	addresses []string // of the server, to try in turn
	timeout   time.Duration
	size      int
	dialog    func() dialog // of a client
	// began, if there is one, is called when the load starts; what it returns, when it is over.
	began func(time.Time) (over func() error, err error)
}

// run connects all clients, and then has them do operations.
func (f *fleet) run(ctx context.Context, d time.Duration, g *generator) (_ *scenarios.Outcome, failed error) {
	clients := make([]client, f.size)
	operators := make([]operator, f.size)
	defer func() {
		for i := range clients {
			failed = errors.Join(failed, clients[i].close())
		}
	}()
	for i := range clients {
		clients[i] = client{addresses: f.addresses, timeout: f.timeout, dialog: f.dialog()}
		operators[i] = &clients[i]
		if err := clients[i].connect(ctx); err != nil {
			return nil, cmp.Or(ctx.Err(), err) // the end of the context looks like a timeout
		}
	}
	start := time.Now()
	if f.began != nil {
		over, err := f.began(start)
		if err != nil {
			return nil, err
		}
		defer func() { failed = errors.Join(failed, over()) }()
	}
	o, err := g.run(ctx, start, d, operators)
	if err != nil {
		return nil, err
	}
	var received int64
	for i := range clients {
		received += clients[i].received
	}
	o.Values["received_bytes"] = float64(received)
	return o, nil
}
