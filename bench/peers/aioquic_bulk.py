"""`sink PORT FOLDER` and `send PORT FOLDER`: stdin on one QUIC stream, with aioquic as its examples use it."""

import asyncio
import sys

from aioquic.asyncio import QuicConnectionProtocol, connect, serve
from aioquic.quic.configuration import QuicConfiguration
from aioquic.quic.events import StreamDataReceived

WINDOWS = {"max_stream_data": 2 << 20, "max_data": 16 << 20}


class Sink(QuicConnectionProtocol):
    def quic_event_received(self, event):
        if isinstance(event, StreamDataReceived) and event.end_stream:
            self._quic.send_stream_data(event.stream_id, b"", True)
            self.transmit()


async def sink(port, folder):
    config = QuicConfiguration(is_client=False, alpn_protocols=["sockeye"], **WINDOWS)
    config.load_cert_chain(f"{folder}/cert.pem", f"{folder}/key.pem")
    await serve("127.0.0.1", port, configuration=config, create_protocol=Sink)
    await asyncio.Future()


async def send(port, folder):
    config = QuicConfiguration(
        is_client=True, alpn_protocols=["sockeye"], server_name="localhost", cafile=f"{folder}/cert.pem", **WINDOWS
    )
    async with connect("127.0.0.1", port, configuration=config) as client:
        reader, writer = await client.create_stream()
        writer.write(sys.stdin.buffer.read())
        writer.write_eof()
        await reader.read()


match sys.argv[1:]:
    case ["sink", port, folder]:
        asyncio.run(sink(int(port), folder))
    case ["send", port, folder]:
        asyncio.run(send(int(port), folder))
