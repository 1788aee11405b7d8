# haproxy_relay.sh PORT SINK: haproxy with one thread that relays TCP by splice, through pipes of 1 MiB.
set -e
folder=$(cd -- "$(dirname -- "$0")" && pwd)
cat >"$folder/haproxy.$1.cfg" <<END
global
    nbthread 1
    tune.pipesize 1048576
defaults
    mode tcp
    timeout connect 5s
    timeout client 120s
    timeout server 120s
    option splice-request
    option splice-response
listen relay
    bind 127.0.0.1:$1
    server sink 127.0.0.1:$2
END
exec haproxy -db -f "$folder/haproxy.$1.cfg"
