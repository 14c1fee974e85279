// SPDX-License-Identifier: Apache-2.0

// Package accesslog reads recordings of requests: the access logs of web servers in the common or the combined log format
// (https://httpd.apache.org/docs/current/logs.html#accesslog), and CSV of time, method, path and size; or of
// times alone.
//
// Recordings are hostile: lines are bounded, and so is what is kept of them. A line that is no request is counted, and the rest is read.
package accesslog
