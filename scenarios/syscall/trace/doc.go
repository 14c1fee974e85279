// SPDX-License-Identifier: Apache-2.0

// Package trace has the format of a recording of system calls: what a call is (call.go), and how a file holds them (writer.go, reader.go).
//
// A file is a line of JSON, the [Header], and blocks. A block is
//
//	kind     1 byte: 'C' calls, 'F' the [Footer], which ends the file
//	length   4 bytes, little endian: of the payload
//	checksum 4 bytes, little endian: CRC-32C of the kind and the payload
//	payload  zstd: records of calls, or the footer in JSON
//
// Each block of calls can be read without the others, so that a file that was cut off (its recorder was killed, the disk was full) can be
// read up to the cut. A record is a row of integers as encoding/binary's Varint writes them, texts being numbers into a table that begins
// empty with each block: the number that is one past its end adds the text that follows, a length and bytes. In order:
//
//	start      nanoseconds after the start of the record before
//	thread, process
//	name       text
//	duration, result
//	arguments  a bit for each that isn't 0 (bit 0: the first), then those
//	path, second path, descriptor class    text
//	size
package trace
