// SPDX-License-Identifier: Apache-2.0

package replay

import "golang.org/x/sys/unix"

func init() {
	specs["newfstatat"] = line(unix.SYS_FSTATAT, "d p o", plain)
}
