"""Members of a chat, with networking that we did not write: `tcp PORT`, `udp PORT`, `ws PORT` and `h3 PORT NAME`.

What comes on standard input is said, line by line; what is heard goes to standard output."""

import asyncio
import socket
import ssl
import sys
import threading

PATH = "/?room=lobby"


def say_all(say):
    for line in sys.stdin.buffer:
        say(line)


def show(data):
    sys.stdout.buffer.write(data)
    sys.stdout.buffer.flush()


def tcp(port):
    peer = socket.create_connection(("127.0.0.1", int(port)))
    threading.Thread(target=say_all, args=(peer.sendall,), daemon=True).start()
    while data := peer.recv(65536):
        show(data)


def udp(port):
    peer = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    peer.connect(("127.0.0.1", int(port)))
    # Datagrams without line ends, as gadgets send them.
    threading.Thread(target=say_all, args=(lambda line: peer.send(line.rstrip(b"\n")),), daemon=True).start()
    while True:
        show(peer.recv(65536) + b"\n")


async def lines():
    loop = asyncio.get_running_loop()
    reader = asyncio.StreamReader()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    async for line in reader:
        yield line


async def ws(port):
    import websockets

    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    async with websockets.connect(f"wss://127.0.0.1:{port}{PATH}", ssl=context) as peer:

        async def hear():
            async for message in peer:
                show(message.encode().rstrip(b"\n") + b"\n")

        hearing = asyncio.create_task(hear())
        async for line in lines():
            await peer.send(line.decode().rstrip("\n"))
        hearing.cancel()


async def h3(port, name):
    from aioquic.asyncio import QuicConnectionProtocol, connect
    from aioquic.h3.connection import H3_ALPN, H3Connection
    from aioquic.h3.events import DataReceived
    from aioquic.quic.configuration import QuicConfiguration
    from aioquic.quic.events import ProtocolNegotiated

    class Http(QuicConnectionProtocol):
        http = None

        def quic_event_received(self, event):
            if isinstance(event, ProtocolNegotiated):
                self.http = H3Connection(self._quic)
            for event in self.http.handle_event(event) if self.http else ():
                if isinstance(event, DataReceived):
                    show(event.data)

    config = QuicConfiguration(
        is_client=True, alpn_protocols=H3_ALPN, verify_mode=ssl.CERT_NONE, server_name="localhost"
    )
    async with connect("127.0.0.1", int(port), configuration=config, create_protocol=Http) as peer:
        stream = peer._quic.get_next_available_stream_id()
        path = f"{PATH}&name={name}"
        head = [(":method", "POST"), (":scheme", "https"), (":authority", "localhost"), (":path", path)]
        peer.http.send_headers(stream, [(name.encode(), value.encode()) for name, value in head])
        peer.transmit()
        async for line in lines():
            peer.http.send_data(stream, line, False)
            peer.transmit()
        peer.http.send_data(stream, b"", True)
        peer.transmit()


part = {"tcp": tcp, "udp": udp, "ws": ws, "h3": h3}[sys.argv[1]](*sys.argv[2:])
if part is not None:
    asyncio.run(part)
