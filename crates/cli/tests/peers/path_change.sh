#!/bin/sh
# Two hosts, of which one gets another address while it talks to the other: `path_change.sh SOCKEYE SCHEME DATA BACK`, as
# root in namespaces of its own (`unshare --map-root-user --net --mount`). What both say comes at the end.
set -eu
sockeye=$1 scheme=$2 data=$3 back=$4
server='' client=''
trap 'kill $server $client 2>/dev/null || true' EXIT

mount -t tmpfs none /run
ip netns add there
ip link add veth0 type veth peer name veth1 netns there
ip address add 10.9.0.1/24 dev veth0
ip link set veth0 up
ip -netns there address add 10.9.0.2/24 dev veth1
ip -netns there link set veth1 up

ip netns exec there "$sockeye" serve echo '*:3000' 2>"$back.server" &
server=$!
until grep -q 'listening udp' "$back.server"; do sleep 0.02; done
"$sockeye" connect "$scheme://10.9.0.2:3000" --insecure <"$data" >"$back" 2>"$back.client" &
client=$!
until [ "$(stat -c %s "$back")" -gt 100000 ]; do sleep 0.005; done
ip address del 10.9.0.1/24 dev veth0
ip address add 10.9.0.3/24 dev veth0
status=0
wait $client || status=$?
client=''
cat "$back.client" "$back.server"
exit $status
