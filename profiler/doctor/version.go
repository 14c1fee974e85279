// SPDX-License-Identifier: Apache-2.0

package doctor

import "fmt"

// version is the first two numbers of a kernel release.
type version struct{ major, minor int }

// floor is the oldest kernel that Assay is made for.
var floor = version{5, 15}

// perfmonReadsMaps is the first kernel that shows the mappings of all
// processes to CAP_PERFMON.
var perfmonReadsMaps = version{6, 15}

// parseRelease reads the start of what uname -r prints, such as 6.1.0-28-amd64.
func parseRelease(release string) (version, error) {
	var v version
	if _, err := fmt.Sscanf(release, "%d.%d", &v.major, &v.minor); err != nil {
		return version{}, fmt.Errorf("kernel release %q: %w", release, err)
	}
	return v, nil
}

func (v version) less(w version) bool {
	return v.major < w.major || v.major == w.major && v.minor < w.minor
}

func (v version) String() string { return fmt.Sprintf("%d.%d", v.major, v.minor) }
