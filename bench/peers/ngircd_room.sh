# ngircd_room.sh PORT: ngircd without the limits that it has for people.
set -e
folder=$(cd -- "$(dirname -- "$0")" && pwd)
cat >"$folder/ngircd.$1.conf" <<END
[Global]
    Name = bench.sockeye
    Info = bench
    Listen = 127.0.0.1
    Ports = $1
[Limits]
    MaxConnections = 0
    MaxConnectionsIP = 0
    MaxJoins = 0
    MaxPenaltyTime = 0
[Options]
    DNS = no
    Ident = no
    PAM = no
END
exec ngircd -n -f "$folder/ngircd.$1.conf"
