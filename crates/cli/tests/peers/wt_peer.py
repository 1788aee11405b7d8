"""WebTransport by others, with `aioquic`: `echo PORT`, `sink PORT` and `token PORT TOKEN` open sessions, `full PORT` one
too large, `rude PORT` breaks the rules, `stop PORT PID` has one while the server stops, `serve CERT KEY` takes them."""

import asyncio
import hashlib
import os
import signal
import ssl
import struct
import sys

from aioquic.asyncio import QuicConnectionProtocol, connect, serve
from aioquic.buffer import Buffer, encode_uint_var
from aioquic.h3.connection import H3_ALPN, H3Connection
from aioquic.h3.events import DatagramReceived, DataReceived, HeadersReceived, WebTransportStreamDataReceived
from aioquic.quic.configuration import QuicConfiguration
from aioquic.quic.events import (
    ConnectionTerminated,
    ProtocolNegotiated,
    StopSendingReceived,
    StreamDataReceived,
    StreamReset,
)

LIMIT = 30
NO_ERROR, ID_ERROR, REJECTED, CANCELLED, MESSAGE_ERROR = 0x100, 0x108, 0x10B, 0x10C, 0x10E
CLOSE = 0x2843
GONE, BUFFERED = 0x170D7B68, 0x3994BD84


def code(application):
    """An application's code among those of HTTP/3 (draft-ietf-webtrans-http3, section 4.4)."""
    return 0x52E4A40FA8DB + application + application // 0x1E


def close(application, reason):
    body = struct.pack(">I", application) + reason.encode()
    return encode_uint_var(CLOSE) + encode_uint_var(len(body)) + body


class Http(QuicConnectionProtocol):
    http = None

    def __init__(self, *arguments, **more):
        super().__init__(*arguments, **more)
        self.streams, self.own, self.datagrams = {}, set(), asyncio.Queue()
        self.terminated = asyncio.get_running_loop().create_future()

    def of(self, stream):
        return self.streams.setdefault(stream, asyncio.Queue())

    def quic_event_received(self, event):
        if isinstance(event, ProtocolNegotiated):
            self.http = H3Connection(self._quic, enable_webtransport=True)
        if isinstance(event, ConnectionTerminated) and not self.terminated.done():
            self.terminated.set_result(event)
        if isinstance(event, (StreamReset, StopSendingReceived)):
            self.heard(event)
        if isinstance(event, StreamDataReceived) and event.stream_id in self.own:
            # aioquic would read frames in what comes back on these.
            self.heard(WebTransportStreamDataReceived(event.data, event.stream_id, event.end_stream, 0))
            return
        for event in self.http.handle_event(event) if self.http else ():
            self.heard(event)

    def heard(self, event):
        if isinstance(event, DatagramReceived):
            self.datagrams.put_nowait((event.stream_id, event.data))
        else:
            self.of(event.stream_id).put_nowait(event)

    async def next(self, stream, kind=object):
        while True:
            event = await asyncio.wait_for(self.of(stream).get(), LIMIT)
            if isinstance(event, kind):
                return event

    def session(self, path="/", fields=(), protocol="webtransport"):
        """Asks for a session, and gives the stream of the request."""
        stream = self._quic.get_next_available_stream_id()
        head = [(":method", "CONNECT"), (":protocol", protocol), (":scheme", "https")]
        head += [(":authority", "localhost"), (":path", path), *fields]
        self.http.send_headers(stream, [(name.encode(), value.encode()) for name, value in head])
        self.transmit()
        return stream

    async def status(self, stream):
        head = {name.decode(): value.decode() for name, value in (await self.next(stream, HeadersReceived)).headers}
        return int(head[":status"]), head

    async def opened(self, **more):
        session = self.session(**more)
        status, _ = await self.status(session)
        assert status == 200, status
        return session

    def stream(self, session, one_way=False):
        stream = self.http.create_webtransport_stream(session, one_way)
        self.own.add(stream)
        return stream

    def say(self, stream, data=b"", end=False):
        self._quic.send_stream_data(stream, data, end)
        self.transmit()

    async def piece(self, stream, size):
        body = b""
        while len(body) < size:
            body += (await self.next(stream, WebTransportStreamDataReceived)).data
        return body

    async def rest(self, stream):
        body = b""
        while True:
            event = await self.next(stream, WebTransportStreamDataReceived)
            body += event.data
            if event.stream_ended:
                return body

    async def last_words(self, session):
        """What is told on the stream of the request until its end."""
        body = b""
        while True:
            event = await self.next(session)
            if isinstance(event, (StreamReset, StopSendingReceived)):
                return event.error_code
            body += event.data
            if event.stream_ended:
                return body


def client(port):
    config = QuicConfiguration(
        is_client=True,
        alpn_protocols=H3_ALPN,
        verify_mode=ssl.CERT_NONE,
        server_name="localhost",
        max_datagram_frame_size=65536,
    )
    return connect("127.0.0.1", port, configuration=config, create_protocol=Http)


async def echo(port):
    async with client(port) as http:
        # A stream may overtake the request of its session, and a request may go beside it.
        session = http._quic.get_next_available_stream_id()
        assert http.session("/chat?x=1", [("origin", "https://localhost")]) == session
        early = http.stream(session)
        http.say(early, b"early")
        status, head = await http.status(session)
        assert status == 200 and "content-length" not in head, head
        assert await http.piece(early, 5) == b"early"

        # Both directions at once, and many.
        for piece in ("one", "zwei", "三"):
            http.say(early, piece.encode())
            assert await http.piece(early, len(piece.encode())) == piece.encode()
        http.say(early, end=True)
        assert await http.rest(early) == b""
        streams = [http.stream(session) for _ in range(20)]
        for number, stream in enumerate(streams):
            http.say(stream, bytes([number]), True)
        assert [await http.rest(stream) for stream in streams] == [bytes([number]) for number in range(20)]
        large = hashlib.shake_128(b"seed").digest(2 << 20)
        stream = http.stream(session)
        http.say(stream, large, True)
        assert await http.rest(stream) == large

        # Datagrams, also an empty one and one for nobody.
        http.http.send_datagram(session + 400, b"nobody's")
        for text in (b"hello", b"", "你好".encode()):
            http.http.send_datagram(session, text)
            http.transmit()
            assert await asyncio.wait_for(http.datagrams.get(), LIMIT) == (session, text)

        # Requests go on beside it.
        request = http._quic.get_next_available_stream_id()
        head = [(b":method", b"POST"), (b":scheme", b"https"), (b":authority", b"localhost"), (b":path", b"/")]
        http.http.send_headers(request, head)
        http.http.send_data(request, b"beside", True)
        http.transmit()
        assert (await http.status(request))[0] == 200
        assert (await http.next(request, DataReceived)).data == b"beside"

        # A second one is too many; after the first has ended there may be another.
        refused = http.session()
        assert await http.last_words(refused) == REJECTED
        stream = http.stream(session)
        http.say(stream, b"open")
        assert await http.piece(stream, 4) == b"open"
        http.http.send_data(session, close(7, "bye"), True)
        http.transmit()
        assert await http.last_words(session) == b""
        late = http.stream(session)
        http.say(late, b"too late")
        assert (await http.next(late, StopSendingReceived)).error_code == GONE
        again = await http.opened()
        stream = http.stream(again)
        http.say(stream, b"again", True)
        assert await http.rest(stream) == b"again"
        # One that can only be heard.
        only = http.stream(again, one_way=True)
        http.say(only, b"for you", True)
        http.http.send_data(again, b"", True)
        http.transmit()
        assert await http.last_words(again) == b""


async def token(port, secret):
    async with client(port) as http:
        for path, fields, status in (
            ("/", (), 401),
            ("/?token=wrong", (), 401),
            (f"/?token={secret}", [("origin", "https://evil.example")], 403),
            (f"/?token={secret}", (), 200),
        ):
            session = http.session(path, fields)
            assert (await http.status(session))[0] == status, (path, fields)
        # The stream need not say it again.
        stream = http.stream(session)
        http.say(stream, b"inside", True)
        assert await http.rest(stream) == b"inside"
    async with client(port) as http:
        session = await http.opened(fields=[("authorization", f"Bearer {secret}")])
        stream = http.stream(session)
        http.say(stream, b"inside", True)
        assert await http.rest(stream) == b"inside"


async def sink(port):
    async with client(port) as http:
        session = await http.opened()
        stream = http.stream(session, one_way=True)
        http.say(stream, b"for you", True)
        both = http.stream(session)
        http.say(both, b"and for you", True)
        assert await http.rest(both) == b""


async def full(port):
    async with client(port) as http:
        session = await http.opened()
        first = http.stream(session)
        http.say(first, b"first")
        assert await http.piece(first, 5) == b"first"
        http.say(http.stream(session), b"second")
        assert await http.last_words(session) == close(0, "the server takes no more sessions")


async def rude(port):
    for say, end, expected in (
        (close(1, "bye") + b".", False, MESSAGE_ERROR),
        (encode_uint_var(CLOSE) + b"\x02\0\0", False, MESSAGE_ERROR),
        (encode_uint_var(CLOSE) + b"\x05\0\0\0\0\xff", False, MESSAGE_ERROR),
        (encode_uint_var(CLOSE) + encode_uint_var(1 << 40), False, MESSAGE_ERROR),
        (encode_uint_var(CLOSE), True, MESSAGE_ERROR),
        # Whatever else is told is passed over.
        (b"\x21" + encode_uint_var(1000) + bytes(1000) + close(0, ""), True, b""),
    ):
        async with client(port) as http:
            session = await http.opened()
            http.http.send_data(session, say, end)
            http.transmit()
            assert await http.last_words(session) == expected, (say, expected)
    # Streams of sessions that never come wait, but not many.
    async with client(port) as http:
        streams = [http.stream(400) for _ in range(17)]
        for stream in streams:
            http.say(stream, b"waiting")
        assert (await http.next(streams[-1], StopSendingReceived)).error_code == BUFFERED
        session = await http.opened()
        stream = http.stream(session)
        http.say(stream, b"served", True)
        assert await http.rest(stream) == b"served"
    # Some names cannot be a session's.
    async with client(port) as http:
        await http.opened()
        http.say(http.stream(3), b"whose?")
        end = await asyncio.wait_for(http.terminated, LIMIT)
        assert end.error_code == ID_ERROR, end
    # A stream that begins and says nothing holds nobody up.
    async with client(port) as http:
        silent = http._quic.get_next_available_stream_id()
        http.own.add(silent)
        http.say(silent, b"\x40")
        session = await http.opened()
        stream = http.stream(session)
        http.say(stream, b"served", True)
        assert await http.rest(stream) == b"served"
        # By and by it says whose it is.
        http.say(silent, b"\x41" + encode_uint_var(session) + b"at last", True)
        assert await http.rest(silent) == b"at last"


async def stop(port, pid):
    async with client(port) as http:
        session = await http.opened()
        stream = http.stream(session)
        http.say(stream, b"before")
        assert await http.piece(stream, 6) == b"before"
        os.kill(pid, signal.SIGTERM)
        assert await http.rest(stream) == b""
        http.say(stream, end=True)
        assert await http.last_words(session) == close(0, "the server is stopping")
        http.http.send_data(session, b"", True)
        http.transmit()
        end = await asyncio.wait_for(http.terminated, LIMIT)
        assert end.error_code == NO_ERROR, end


class Server(Http):
    """Says in capitals what it hears; `close`, `reset` and `leave` are orders."""

    session, closed, ended = None, False, False

    def heard(self, event):
        if isinstance(event, HeadersReceived):
            return self.asked(event)
        if isinstance(event, DatagramReceived):
            self.http.send_datagram(event.stream_id, event.data.upper())
        elif isinstance(event, WebTransportStreamDataReceived):
            self.answer(event)
        elif isinstance(event, DataReceived):
            # How the client has closed it.
            if event.data:
                body = Buffer(data=event.data)
                kind, length = body.pull_uint_var(), body.pull_uint_var()
                assert (kind, length) == (CLOSE, 4), event
                print("closed with", body.pull_uint32(), file=sys.stderr, flush=True)
            if event.stream_ended and not self.closed:
                self.http.send_data(event.stream_id, b"", True)
        self.transmit()

    def asked(self, event):
        head = {name.decode(): value.decode() for name, value in event.headers}
        session = event.stream_id
        if head.get(":protocol") != "webtransport" or head[":path"] == "/nonesuch":
            kind = (b"content-type", b"text/plain")
            self.http.send_headers(session, [(b":status", b"404"), kind])
            self.http.send_data(session, b"no sessions here\n", True)
            return self.transmit()
        self.session = session
        self.http.send_headers(session, [(b":status", b"200")])
        if head[":path"] == "/eager":
            stream = self.http.create_webtransport_stream(session)
            self._quic.send_stream_data(stream, b"unasked")
        if head[":path"] == "/facts":
            print(*(f"{name}={value}" for name, value in sorted(head.items())), file=sys.stderr, flush=True)
        self.transmit()

    def answer(self, event):
        if self.ended or self.closed:
            return
        match event.data.strip():
            case b"close":
                self.closed = True
                self.http.send_data(self.session, close(42, "enough"), True)
            case b"reset":
                self.ended = True
                self._quic.reset_stream(event.stream_id, code(9))
            case b"stop":
                self._quic.stop_stream(event.stream_id, code(8))
            case b"leave":
                self.closed = True
                self.http.send_data(self.session, close(0, ""), True)
            case _:
                self._quic.send_stream_data(event.stream_id, event.data.upper(), event.stream_ended)


async def serving(certificate, key):
    config = QuicConfiguration(is_client=False, alpn_protocols=H3_ALPN, max_datagram_frame_size=65536)
    config.load_cert_chain(certificate, key)
    server = await serve("127.0.0.1", 0, configuration=config, create_protocol=Server)
    port = server._transport.get_extra_info("sockname")[1]
    print(f"listening h3 127.0.0.1:{port}", file=sys.stderr, flush=True)
    await asyncio.Future()


async def main():
    match sys.argv[1:]:
        case ["echo", port]:
            await echo(int(port))
        case ["token", port, secret]:
            await token(int(port), secret)
        case ["sink", port]:
            await sink(int(port))
        case ["full", port]:
            await full(int(port))
        case ["rude", port]:
            await rude(int(port))
        case ["stop", port, pid]:
            await stop(int(port), int(pid))
        case ["serve", certificate, key]:
            await serving(certificate, key)
    print("all is well", flush=True)


asyncio.run(main())
