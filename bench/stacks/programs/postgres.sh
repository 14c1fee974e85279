#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# postgres.sh SECONDS: a cluster of its own in this folder, loaded by pgbench over a socket. It doesn't run as root.
set -eu
bin=$(ls -d /usr/lib/postgresql/*/bin | tail -n 1)
chmod 755 . && mkdir data && chown postgres data
as='setpriv --reuid postgres --regid postgres --clear-groups'
$as "$bin/initdb" -D data -A trust >/dev/null
$as "$bin/postgres" -D data -k "$PWD/data" -c listen_addresses= -c fsync=off >data/log 2>&1 &
server=$!
trap 'kill -INT $server; wait $server || true' EXIT
until $as "$bin/psql" -q -h "$PWD/data" -d postgres -c 'select 1' >/dev/null 2>&1; do sleep 0.1; done
$as "$bin/pgbench" -q -h "$PWD/data" -i -s 1 postgres >/dev/null 2>&1
$as "$bin/pgbench" -h "$PWD/data" -c 2 -T "$1" postgres >/dev/null 2>&1
