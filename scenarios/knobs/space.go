// SPDX-License-Identifier: Apache-2.0

package knobs

import "fmt"

// SetInside sets knobs, each KIND:NAME=VALUE, in the network namespace of the calling thread. Nothing is written down: it is for a
// namespace that ends with the work.
func SetInside(settings []string) error {
	for _, text := range settings {
		k, err := Parse(text)
		switch {
		case err != nil:
			return err
		case k.kind.perSpace == nil || len(k.Values) != 1:
			return fmt.Errorf("knob %q: want one value for something that belongs to a network namespace", text)
		}
		if err := k.set(space, k.Values[0]); err != nil {
			return err
		}
	}
	return nil
}
