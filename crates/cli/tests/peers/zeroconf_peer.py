"""DNS-SD by python-zeroconf: what it hears of sockeye's servers, and a server that sockeye is to find.

    zeroconf_peer.py browse             a line of JSON for each that comes, changes or goes
    zeroconf_peer.py announce PORT NAME [KEY=VALUE ...]    until the end of standard input
"""

import json
import socket
import sys

from zeroconf import ServiceBrowser, ServiceInfo, ServiceListener, Zeroconf

TYPE = "_sockeye._tcp.local."


class Heard(ServiceListener):
    def say(self, what, zeroconf, kind, name):
        told = {"what": what, "name": name.removesuffix("." + TYPE)}
        if what != "gone":
            info = zeroconf.get_service_info(kind, name)
            told["addresses"] = sorted(info.parsed_addresses())
            told["port"] = info.port
            told["host"] = info.server
            told["text"] = {
                key.decode(): value and value.decode() for key, value in info.properties.items()
            }
        print(json.dumps(told), flush=True)

    def add_service(self, zeroconf, kind, name):
        self.say("came", zeroconf, kind, name)

    def update_service(self, zeroconf, kind, name):
        self.say("changed", zeroconf, kind, name)

    def remove_service(self, zeroconf, kind, name):
        self.say("gone", zeroconf, kind, name)


def announce(zeroconf, port, name, *strings):
    own = [socket.inet_aton("10.9.7.1")]
    properties = dict(text.split("=", 1) for text in strings)
    info = ServiceInfo(
        TYPE, f"{name}.{TYPE}", addresses=own, port=int(port), properties=properties, server="peer.local."
    )
    zeroconf.register_service(info)
    print("announced", flush=True)
    sys.stdin.read()
    zeroconf.unregister_service(info)


# Loopback carries no multicast here.
with Zeroconf(interfaces=["10.9.7.1"]) as zeroconf:
    match sys.argv[1:]:
        case ["browse"]:
            browser = ServiceBrowser(zeroconf, TYPE, Heard())
            print("browsing", flush=True)
            sys.stdin.read()
            browser.cancel()
        case ["announce", *words]:
            announce(zeroconf, *words)
