// SPDX-License-Identifier: Apache-2.0

package load

import "github.com/assaylab/assay/scenarios"

// Kinds returns the kinds of work that this package has.
func Kinds() []scenarios.Kind {
	return []scenarios.Kind{httpKind(), serviceKind(), replayKind(), cpuKind(), memoryKind(), chaseKind(), execKind(), nginxKind(), redisKind(), postgresKind()}
}
