// SPDX-License-Identifier: Apache-2.0

// Package replay replays a recording of system calls.
package replay
