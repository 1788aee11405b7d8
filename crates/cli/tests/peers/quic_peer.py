"""QUIC by others: `serve CERT KEY [VERSION]` and `ask PORT VERSION`, both with `aioquic`; the version is 1 or 2."""

import asyncio
import hashlib
import ssl
import sys

from aioquic.asyncio import QuicConnectionProtocol, connect, serve
from aioquic.quic.configuration import QuicConfiguration
from aioquic.quic.packet import QuicProtocolVersion
from aioquic.quic.events import (
    ConnectionTerminated,
    DatagramFrameReceived,
    StopSendingReceived,
    StreamDataReceived,
    StreamReset,
)

VERSIONS = {"1": QuicProtocolVersion.VERSION_1, "2": QuicProtocolVersion.VERSION_2}
LIMIT = 30
SIZE = 2 << 20
DATAGRAM = 65536


def configuration(**more):
    return QuicConfiguration(alpn_protocols=["sockeye"], max_datagram_frame_size=DATAGRAM, **more)


class Server(QuicConnectionProtocol):
    """Echoes in capitals, and does what some words ask for."""

    over = False

    def quic_event_received(self, event):
        quic = self._quic
        if isinstance(event, DatagramFrameReceived):
            quic.send_datagram_frame(event.data.upper())
        elif isinstance(event, StreamDataReceived) and not self.over:
            match event.data.strip():
                case b"reset":
                    self.over = True
                    quic.reset_stream(event.stream_id, 7)
                case b"stop":
                    quic.stop_stream(event.stream_id, 8)
                case b"close":
                    quic.close(error_code=42, reason_phrase="enough")
                case _:
                    quic.send_stream_data(event.stream_id, event.data.upper(), event.end_stream)
        elif isinstance(event, StopSendingReceived):
            print("stopped with", event.error_code, flush=True)
        elif isinstance(event, ConnectionTerminated):
            print("terminated with", event.error_code, event.reason_phrase, flush=True)
        self.transmit()


async def serving(certificate, key, *versions):
    config = configuration(is_client=False)
    config.supported_versions = [VERSIONS[version] for version in versions] or config.supported_versions
    config.load_cert_chain(certificate, key)
    server = await serve("127.0.0.1", 0, configuration=config, create_protocol=Server)
    port = server._transport.get_extra_info("sockname")[1]
    print(f"listening quic 127.0.0.1:{port}", file=sys.stderr, flush=True)
    await asyncio.Future()


class Client(QuicConnectionProtocol):
    def __init__(self, *arguments, **more):
        super().__init__(*arguments, **more)
        self.events = asyncio.Queue()

    def quic_event_received(self, event):
        super().quic_event_received(event)
        self.events.put_nowait(event)

    async def next(self, kind):
        while True:
            event = await asyncio.wait_for(self.events.get(), LIMIT)
            if isinstance(event, kind):
                return event


async def echoed(client, data):
    reader, writer = await client.create_stream()
    writer.write(data)
    writer.write_eof()
    return await asyncio.wait_for(reader.read(), LIMIT)


async def asking(port, version):
    version = VERSIONS[version]
    config = configuration(is_client=True, verify_mode=ssl.CERT_NONE)
    config.original_version = version
    config.supported_versions = [version]
    async with connect("127.0.0.1", port, configuration=config, create_protocol=Client) as client:
        assert await echoed(client, b"hello") == b"hello"
        assert client._quic._version == version
        many = [f"stream {number}".encode() for number in range(50)]
        assert await asyncio.gather(*(echoed(client, data) for data in many)) == many
        large = hashlib.shake_128(b"seed").digest(SIZE)
        assert await echoed(client, large) == large
        for datagram in (b"datagram", b"", bytes(1000)):
            client._quic.send_datagram_frame(datagram)
            client.transmit()
            assert (await client.next(DatagramFrameReceived)).data == datagram
        # A new connection id of ours and a new socket: what a client does that moves.
        client.change_connection_id()
        assert await echoed(client, b"under another id") == b"under another id"
        loop = asyncio.get_running_loop()
        transport, _ = await loop.create_datagram_endpoint(
            lambda: client, local_addr=client._transport.get_extra_info("sockname")[:1] + (0,)
        )
        assert await echoed(client, b"from elsewhere") == b"from elsewhere"
    transport.close()
    config = QuicConfiguration(alpn_protocols=["other"], verify_mode=ssl.CERT_NONE)
    try:
        async with connect("127.0.0.1", port, configuration=config):
            raise AssertionError("nothing is spoken that goes by `other`")
    except ConnectionError:
        pass
    print("all is well", flush=True)


match sys.argv[1:]:
    case ["serve", *arguments]:
        asyncio.run(serving(*arguments))
    case ["ask", port, version]:
        asyncio.run(asyncio.wait_for(asking(int(port), version), 6 * LIMIT))
