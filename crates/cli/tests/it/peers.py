"""Peers that sockeye's authors did not write the networking of: servers and clients from Python's library.

`peers.py NAME [ARGUMENT …]`. A server prints `listening PROTOCOL ADDRESS` on standard error.
"""
import asyncio
import os
import socket
import socketserver
import struct
import sys
import threading
import time
import urllib.request


def ready(protocol, address):
    where = address if isinstance(address, str) else "%s:%d" % address[:2]
    print("listening %s %s" % (protocol, where), file=sys.stderr, flush=True)


def asyncio_echo():
    async def echo(reader, writer):
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()
        writer.write_eof()
        await writer.wait_closed()

    async def main():
        server = await asyncio.start_server(echo, "127.0.0.1", 0)
        ready("tcp", server.sockets[0].getsockname())
        await server.serve_forever()

    asyncio.run(main())


def asyncio_client(host, port):
    """Standard input through an echo server, sending and receiving at once."""

    async def main():
        data = sys.stdin.buffer.read()
        reader, writer = await asyncio.open_connection(host, int(port))

        async def send():
            for at in range(0, len(data), 50_000):
                writer.write(data[at : at + 50_000])
                await writer.drain()
            writer.write_eof()

        _, answer = await asyncio.gather(send(), reader.read())
        sys.stdout.buffer.write(answer)

    asyncio.run(main())


def greeting():
    """A thread for each client: greets, then says hello to every line."""

    class Greeter(socketserver.StreamRequestHandler):
        def handle(self):
            self.wfile.write(b"who are you?\n")
            for line in self.rfile:
                self.wfile.write(b"hello, " + line.strip() + b"\n")

    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Greeter) as server:
        ready("tcp", server.server_address)
        server.serve_forever()


def udp_upper():
    class Upper(socketserver.BaseRequestHandler):
        def handle(self):
            data, server = self.request
            server.sendto(data.upper(), self.client_address)

    with socketserver.UDPServer(("127.0.0.1", 0), Upper) as server:
        server.max_packet_size = 65535
        ready("udp", server.server_address)
        server.serve_forever()


def unix_echo(path):
    class Echo(socketserver.BaseRequestHandler):
        def handle(self):
            while data := self.request.recv(65536):
                self.request.sendall(data)

    with socketserver.ThreadingUnixStreamServer(path, Echo) as server:
        ready("unix", path)
        server.serve_forever()


def unixgram_upper(path):
    server = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    server.bind(path)
    ready("unixgram", path)
    while True:
        data, sender = server.recvfrom(65536)
        server.sendto(data.upper(), sender)


def plain_client(host, port):
    """Standard input through an echo server with blocking sockets, two threads and shutdown."""
    data = sys.stdin.buffer.read()
    with socket.create_connection((host, int(port))) as client:

        def send():
            client.sendall(data)
            client.shutdown(socket.SHUT_WR)

        thread = threading.Thread(target=send)
        thread.start()
        while part := client.recv(65536):
            sys.stdout.buffer.write(part)
        thread.join()


def udp_client(host, port, *messages):
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
        client.settimeout(30)
        for message in messages:
            client.sendto(message.encode(), (host, int(port)))
            answer, sender = client.recvfrom(65536)
            print(answer.decode(), sender[1] == int(port))


def gb2312(host, port):
    """Sends GB2312 text in two pieces that divide a character, and prints the answer as UTF-8."""
    data = "你好abc".encode("gb2312")
    with socket.create_connection((host, int(port))) as client:
        client.settimeout(30)
        client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        client.sendall(data[:1])
        # Long enough for the server to read the half character by itself; right either way.
        time.sleep(0.05)
        client.sendall(data[1:])
        client.shutdown(socket.SHUT_WR)
        answer = b""
        while part := client.recv(65536):
            answer += part
        print(answer.decode("gb2312"))


def socks5(*credentials):
    """A SOCKS5 proxy (RFC 1928): lets everybody through, or with USER PASSWORD those who say them (RFC 1929).
    The name echo.test is this machine."""

    class Proxy(socketserver.StreamRequestHandler):
        def handle(self):
            _, count = self.rfile.read(2)
            methods = self.rfile.read(count)
            if (2 if credentials else 0) not in methods:
                self.wfile.write(b"\x05\xff")
                return
            self.wfile.write(b"\x05\x02" if credentials else b"\x05\x00")
            if credentials:
                self.rfile.read(1)
                said = [self.rfile.read(self.rfile.read(1)[0]).decode() for _ in range(2)]
                good = said == list(credentials)
                self.wfile.write(b"\x01\x00" if good else b"\x01\x01")
                if not good:
                    return
            _, command, _, kind = self.rfile.read(4)
            if kind == 1:
                host = socket.inet_ntop(socket.AF_INET, self.rfile.read(4))
            elif kind == 4:
                host = socket.inet_ntop(socket.AF_INET6, self.rfile.read(16))
            else:
                host = self.rfile.read(self.rfile.read(1)[0]).decode()
            port = int.from_bytes(self.rfile.read(2), "big")
            print("asked for", host, port, file=sys.stderr, flush=True)
            host = host.replace("echo.test", "127.0.0.1")
            try:
                there = socket.create_connection((host, port))
            except OSError:
                self.wfile.write(b"\x05\x05\x00\x01" + bytes(6))
                return
            self.wfile.write(b"\x05\x00\x00\x01" + bytes(6))
            back = threading.Thread(target=pump, args=(there, self.connection))
            back.start()
            pump(self.connection, there)
            back.join()

    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Proxy) as server:
        server.daemon_threads = True
        ready("tcp", server.server_address)
        server.serve_forever()


def http_proxy():
    """An HTTP proxy: tunnels (CONNECT), and requests that it passes on, with what it was told of the client."""

    class Proxy(socketserver.StreamRequestHandler):
        def handle(self):
            method, target, _ = self.rfile.readline().decode().split()
            fields = {}
            while line := self.rfile.readline().decode().strip():
                name, value = line.split(":", 1)
                fields[name.lower()] = value.strip()
            if method != "CONNECT":
                answer = urllib.request.build_opener(urllib.request.ProxyHandler({})).open(target)
                told = fields.get("proxy-authorization", "nothing")
                self.wfile.write(b"HTTP/1.1 200 OK\r\nX-Told: %s\r\n\r\n" % told.encode())
                self.wfile.write(answer.read())
                return
            host, port = target.rsplit(":", 1)
            there = socket.create_connection((host.strip("[]"), int(port)))
            self.wfile.write(b"HTTP/1.1 200 Connected\r\n\r\n")
            back = threading.Thread(target=pump, args=(there, self.connection))
            back.start()
            pump(self.connection, there)
            back.join()

    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Proxy) as server:
        server.daemon_threads = True
        ready("tcp", server.server_address)
        server.serve_forever()


def pump(source, target):
    while data := source.recv(65536):
        target.sendall(data)
    target.shutdown(socket.SHUT_WR)


def introduced(host, port, version):
    """An echo client through a proxy that says, by the haproxy specification, that it speaks for 192.0.2.7:56324."""
    if version == "v1":
        head = b"PROXY TCP4 192.0.2.7 198.51.100.1 56324 443\r\n"
    else:
        ends = socket.inet_aton("192.0.2.7") + socket.inet_aton("198.51.100.1")
        ends += struct.pack("!HH", 56324, 443)
        # PP2_TYPE_AUTHORITY, as a TLS terminator adds it.
        ends += b"\x02\x00\x0bexample.org"
        head = b"\r\n\r\n\0\r\nQUIT\n\x21\x11" + struct.pack("!H", len(ends)) + ends
    with socket.create_connection((host, int(port))) as client:
        client.sendall(head + b"hello")
        client.shutdown(socket.SHUT_WR)
        while part := client.recv(65536):
            sys.stdout.buffer.write(part)


def first_line():
    """A server that tells each client its own first line, and the rest as it came."""

    class Teller(socketserver.StreamRequestHandler):
        def handle(self):
            line = self.rfile.readline()
            self.wfile.write(b"<" + line.strip() + b">" + self.rfile.read())

    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Teller) as server:
        ready("tcp", server.server_address)
        server.serve_forever()


def http_server():
    """Python's own HTTP server; it answers what it was asked."""
    import http.server

    class Handler(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self):
            body = ("you asked for %s\n" % self.path).encode()
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_):
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        ready("tcp", server.server_address)
        server.serve_forever()


def files(folder):
    """Python's own server of files, which knows no ranges."""
    import functools
    import http.server

    class Handler(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *_):
            pass

    handler = functools.partial(Handler, directory=folder)
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        ready("tcp", server.server_address)
        server.serve_forever()


if __name__ == "__main__":
    globals()[sys.argv[1]](*sys.argv[2:])
