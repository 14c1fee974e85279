// SPDX-License-Identifier: Apache-2.0

package result

import (
	"encoding/base64"
	"errors"
	"fmt"
	"strings"

	"github.com/HdrHistogram/hdrhistogram-go"
)

// latencyPrefix is the cookie of HdrHistogram V2, compressed, in base64.
const latencyPrefix = "HIST"

// EncodeLatency is h as a record stores it, see [Record.LatencyHDR]; "" for nil.
func EncodeLatency(h *hdrhistogram.Histogram) (string, error) {
	if h == nil {
		return "", nil
	}
	text, err := h.Encode(hdrhistogram.V2CompressedEncodingCookieBase)
	if err != nil {
		return "", fmt.Errorf("encode histogram of latencies: %w", err)
	}
	return string(text), nil
}

// DecodeLatency reads what [EncodeLatency] wrote, or another implementation of HdrHistogram. It takes what a file says for hostile: the most
// that it allocates is 50 MB, for a histogram of five digits over all integers.
func DecodeLatency(text string) (*hdrhistogram.Histogram, error) {
	if text == "" {
		return nil, errors.New("decode histogram of latencies: there is none")
	}
	h, err := hdrhistogram.Decode([]byte(text))
	if err != nil {
		return nil, fmt.Errorf("decode histogram of latencies: %w", err)
	}
	return h, nil
}

// MergeLatency adds up histograms, such as those of an arm in all blocks; "" counts as none. The sum is as wide and as fine as the widest and
// the finest of them, so that nothing is lost. It is nil if there is none.
func MergeLatency(texts ...string) (*hdrhistogram.Histogram, error) {
	var all []*hdrhistogram.Histogram
	for _, text := range texts {
		if text == "" {
			continue
		}
		h, err := DecodeLatency(text)
		if err != nil {
			return nil, err
		}
		all = append(all, h)
	}
	if len(all) == 0 {
		return nil, nil
	}
	return mergeHistograms(all)
}

func mergeHistograms(all []*hdrhistogram.Histogram) (*hdrhistogram.Histogram, error) {
	low, high, digits := all[0].LowestTrackableValue(), all[0].HighestTrackableValue(), all[0].SignificantFigures()
	for _, h := range all[1:] {
		low, high = min(low, h.LowestTrackableValue()), max(high, h.HighestTrackableValue())
		digits = max(digits, h.SignificantFigures())
	}
	sum := hdrhistogram.New(low, high, int(digits))
	for _, h := range all {
		if dropped := sum.Merge(h); dropped > 0 {
			return nil, fmt.Errorf("merge histograms of latencies: %d values didn't fit", dropped)
		}
	}
	return sum, nil
}

// looksLikeLatency is a quick look, without decompressing.
func looksLikeLatency(text string) bool {
	if !strings.HasPrefix(text, latencyPrefix) {
		return false
	}
	_, err := base64.StdEncoding.DecodeString(text)
	return err == nil
}
