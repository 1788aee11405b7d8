# nginx_get.sh PORT: nginx with one worker that answers every request with `hello` and logs nothing.
set -e
folder=$(cd -- "$(dirname -- "$0")" && pwd)
cat >"$folder/nginx.$1.conf" <<END
daemon off;
worker_processes 1;
pid $folder/nginx.$1.pid;
error_log /dev/null;
events { worker_connections 4096; multi_accept on; }
http {
    access_log off;
    keepalive_requests 1000000000;
    default_type text/plain;
    client_body_temp_path $folder/body;
    proxy_temp_path $folder/proxy;
    fastcgi_temp_path $folder/fastcgi;
    uwsgi_temp_path $folder/uwsgi;
    scgi_temp_path $folder/scgi;
    server {
        listen 127.0.0.1:$1 backlog=4096;
        location / { return 200 "hello\n"; }
    }
}
END
exec nginx -c "$folder/nginx.$1.conf"
