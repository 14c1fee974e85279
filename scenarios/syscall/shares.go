// SPDX-License-Identifier: Apache-2.0

package syscall

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
)

const maxWeight = 1_000_000

// A share is how often a call is drawn, beside the weights of the others.
type share struct {
	call   *call
	weight int
}

// parseMix reads "getpid=70,read=20,open=10": calls and their weights, in any order, each call at most once. Space around a name or a
// weight doesn't matter.
func parseMix(text string) ([]share, error) {
	if strings.TrimSpace(text) == "" {
		return nil, errors.New("it's empty; want calls and weights such as getpid=70,read=30")
	}
	var shares []share
	for part := range strings.SplitSeq(text, ",") {
		s, err := parseShare(part)
		if err != nil {
			return nil, fmt.Errorf("%q: %w", part, err)
		}
		if slices.ContainsFunc(shares, func(other share) bool { return other.call == s.call }) {
			return nil, fmt.Errorf("%q: %s is there already; want each call once", part, s.call.name)
		}
		shares = append(shares, s)
	}
	return shares, nil
}

func parseShare(part string) (share, error) {
	name, number, ok := strings.Cut(part, "=")
	if !ok {
		return share{}, errors.New("want a call and its weight such as read=20")
	}
	c, err := findCall(strings.TrimSpace(name))
	if err != nil {
		return share{}, err
	}
	weight, err := strconv.Atoi(strings.TrimSpace(number))
	if err != nil || weight < 1 || weight > maxWeight {
		return share{}, fmt.Errorf("want a weight, a whole number from 1 to %d", maxWeight)
	}
	return share{c, weight}, nil
}
