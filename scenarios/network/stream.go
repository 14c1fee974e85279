// SPDX-License-Identifier: Apache-2.0

package network

import (
	"context"
	"io"
	"net"
	"time"

	"github.com/assaylab/assay/scenarios"
)

// stream is the runner of network/stream.
func stream(ctx context.Context, w *workload, d time.Duration) (*scenarios.Outcome, error) {
	c := newCrew(ctx)
	defer c.end()
	senders, receivers, err := c.pairs(w)
	if err != nil {
		return nil, err
	}
	for i := range senders {
		c.start(func(t *tally) error { return receiveAll(receivers[i], w.size, t) })
		c.start(func(*tally) error { return sendAll(senders[i], w.size) })
	}
	elapsed := wait(c.ctx, d)
	t := c.end()
	o := t.outcome(elapsed)
	o.Values["received_bytes"] = float64(t.bytes)
	return o, nil
}

// receiveAll counts messages until the connection ends.
func receiveAll(from net.Conn, size int, t *tally) error {
	message := make([]byte, size)
	for {
		n, err := io.ReadFull(from, message)
		t.bytes += int64(n)
		if err != nil {
			return err
		}
		t.operations++
	}
}

// sendAll sends messages until the connection ends.
func sendAll(to net.Conn, size int) error {
	message := make([]byte, size)
	for {
		if _, err := to.Write(message); err != nil {
			return err
		}
	}
}
