// SPDX-License-Identifier: Apache-2.0

package arrivals

import (
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"
)

// ParseSteps reads steps written as "100@2s,200@2s": a rate a second, and for how long.
func ParseSteps(text string) ([]Step, error) {
	var steps []Step
	for part := range strings.SplitSeq(text, ",") {
		rate, length, _ := strings.Cut(strings.TrimSpace(part), "@")
		r, rateErr := strconv.ParseFloat(rate, 64)
		d, lengthErr := time.ParseDuration(length)
		if rateErr != nil || lengthErr != nil || !(r >= 0) || math.IsInf(r, 0) || d <= 0 {
			return nil, fmt.Errorf("step %q: want a rate and how long it lasts, such as 100@2s", part)
		}
		steps = append(steps, Step{Rate: r, For: d})
	}
	return steps, nil
}
