// SPDX-License-Identifier: Apache-2.0

package result

import (
	"strings"
	"testing"

	"github.com/HdrHistogram/hdrhistogram-go"
)

func histogram(t *testing.T, high int64, digits int, values ...int64) string {
	t.Helper()
	h := hdrhistogram.New(1, high, digits)
	for _, v := range values {
		if err := h.RecordValue(v); err != nil {
			t.Fatal(err)
		}
	}
	text, err := EncodeLatency(h)
	if err != nil {
		t.Fatal(err)
	}
	if !looksLikeLatency(text) {
		t.Fatalf("%.20s is not taken for a histogram", text)
	}
	return text
}

func TestLatencyComesBack(t *testing.T) {
	h, err := DecodeLatency(histogram(t, 1e9, 3, 1, 500, 1000, 999_999_999))
	if err != nil {
		t.Fatal(err)
	}
	if h.TotalCount() != 4 || h.ValueAtQuantile(50) != 500 || !h.ValuesAreEquivalent(h.Max(), 999_999_999) {
		t.Errorf("%d values, median %d, max %d", h.TotalCount(), h.ValueAtQuantile(50), h.Max())
	}
	if text, err := EncodeLatency(nil); text != "" || err != nil {
		t.Errorf("none: %q, %v", text, err)
	}
}

func TestLatencyMerges(t *testing.T) {
	h, err := MergeLatency(histogram(t, 1e6, 2, 10, 20), "", histogram(t, 1e9, 3, 30, 900_000_000))
	if err != nil {
		t.Fatal(err)
	}
	if h.TotalCount() != 4 || h.Min() != 10 || !h.ValuesAreEquivalent(h.Max(), 900_000_000) || h.SignificantFigures() != 3 {
		t.Errorf("%d values from %d to %d, %d digits", h.TotalCount(), h.Min(), h.Max(), h.SignificantFigures())
	}
	if h, err := MergeLatency("", ""); h != nil || err != nil {
		t.Errorf("none: %v, %v", h, err)
	}
	if _, err := MergeLatency(histogram(t, 1e6, 2, 10), "HISTx"); err == nil {
		t.Error("merged what is none")
	}
}

func TestDecodeLatencyRefuses(t *testing.T) {
	good := histogram(t, 1e6, 3, 10)
	for _, text := range []string{"", "x", good[:len(good)/2], strings.Replace(good, "HIST", "HISX", 1)} {
		if h, err := DecodeLatency(text); err == nil || h != nil || !strings.HasPrefix(err.Error(), "decode histogram of latencies: ") {
			t.Errorf("%.20q: %v, %v", text, h, err)
		}
	}
}
