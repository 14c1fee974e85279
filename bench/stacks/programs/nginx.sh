#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# nginx.sh SECONDS: an nginx in this folder that serves a page, gzipped, loaded by wrk over loopback.
set -eu
head -c 20000 /dev/zero | tr '\0' x >page.html
cat >nginx.conf <<END
daemon off; worker_processes 1; pid $PWD/nginx.pid; error_log $PWD/error.log;
events { worker_connections 256; }
http {
	access_log off; gzip on; gzip_min_length 1; types { text/html html; }
	client_body_temp_path $PWD; proxy_temp_path $PWD; fastcgi_temp_path $PWD; uwsgi_temp_path $PWD; scgi_temp_path $PWD;
	server { listen 127.0.0.1:18391; root $PWD; }
}
END
chmod 755 . && chmod 644 page.html
nginx -p "$PWD" -c "$PWD/nginx.conf" &
server=$!
trap 'kill $server; wait $server || true' EXIT
until [ -s nginx.pid ]; do sleep 0.05; done
wrk -t 1 -c 8 -d "$1s" -H 'Accept-Encoding: gzip' http://127.0.0.1:18391/page.html >/dev/null
