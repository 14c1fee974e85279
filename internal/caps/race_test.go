// SPDX-License-Identifier: Apache-2.0

//go:build race

package caps

import (
	"errors"
	"testing"
)

// The race detector brings C code along, so Drop has to refuse, and refuse
// before it has changed anything.
func TestDropRefusesWithC(t *testing.T) {
	before, err := Effective()
	if err != nil {
		t.Fatal(err)
	}
	if err := Drop(); !errors.Is(err, ErrThreads) {
		t.Fatalf("got %v, want ErrThreads", err)
	}
	after, err := Effective()
	if err != nil {
		t.Fatal(err)
	}
	if before != after || before == 0 {
		t.Errorf("capabilities went from %s to %s", before, after)
	}
}
