"""Peers that sockeye's authors did not write the networking of: servers and clients from Python's library.

`peers.py NAME [ARGUMENT …]`. A server prints `listening PROTOCOL ADDRESS` on standard error.
"""
import asyncio
import os
import socket
import socketserver
import sys
import threading
import time


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
        client.settimeout(10)
        for message in messages:
            client.sendto(message.encode(), (host, int(port)))
            answer, sender = client.recvfrom(65536)
            print(answer.decode(), sender[1] == int(port))


def gb2312(host, port):
    """Sends GB2312 text in two pieces that divide a character, and prints the answer as UTF-8."""
    data = "你好abc".encode("gb2312")
    with socket.create_connection((host, int(port))) as client:
        client.settimeout(10)
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


if __name__ == "__main__":
    globals()[sys.argv[1]](*sys.argv[2:])
