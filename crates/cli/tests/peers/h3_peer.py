"""HTTP/3 by others, with `aioquic`: `echo PORT`, `early PORT` and `site PORT SIZE SHA256` ask, `stop PORT PID` asks one that is
about to stop, `serve CERT KEY` answers."""

import asyncio
import hashlib
import os
import signal
import ssl
import sys

from aioquic.asyncio import QuicConnectionProtocol, connect, serve
from aioquic.buffer import encode_uint_var
from aioquic.h3.connection import H3_ALPN, FrameType, H3Connection, encode_frame
from aioquic.h3.events import DataReceived, HeadersReceived
from aioquic.quic.configuration import QuicConfiguration
from aioquic.quic.events import ConnectionTerminated, ProtocolNegotiated, StreamReset

LIMIT = 30
NO_ERROR = 0x100
CANCELLED = 0x10C
REJECTED = 0x10B


class Http(QuicConnectionProtocol):
    http = None

    def __init__(self, *arguments, **more):
        super().__init__(*arguments, **more)
        self.streams = {}
        self.terminated = asyncio.get_running_loop().create_future()

    def quic_event_received(self, event):
        if isinstance(event, ProtocolNegotiated) and self.http is None:
            self.http = H3Connection(self._quic)
        if isinstance(event, ConnectionTerminated) and not self.terminated.done():
            self.terminated.set_result(event)
        if isinstance(event, StreamReset) and event.stream_id in self.streams:
            self.streams[event.stream_id].put_nowait(event)
        for event in self.http.handle_event(event) if self.http else ():
            self.heard(event)

    def heard(self, event):
        if event.stream_id in self.streams:
            self.streams[event.stream_id].put_nowait(event)

    def begin(self, method, path, authority="localhost", fields=(), end=True):
        stream = self._quic.get_next_available_stream_id()
        self.streams[stream] = asyncio.Queue()
        head = [(":method", method), (":scheme", "https"), (":authority", authority), (":path", path)]
        head = [(name.encode(), value.encode()) for name, value in (*head, *fields)]
        self.http.send_headers(stream, head, end)
        self.transmit()
        return stream

    def say(self, stream, data, end=False):
        self.http.send_data(stream, data, end)
        self.transmit()

    async def next(self, stream):
        return await asyncio.wait_for(self.streams[stream].get(), LIMIT)

    async def piece(self, stream, size):
        body = b""
        while len(body) < size:
            event = await self.next(stream)
            if isinstance(event, DataReceived):
                body += event.data
        return body

    async def answer(self, stream):
        """The status, the fields and the body; an `int` instead of them if it was reset."""
        head, body = {}, bytearray()
        while True:
            event = await self.next(stream)
            if isinstance(event, StreamReset):
                return event.error_code
            if isinstance(event, HeadersReceived):
                head |= {name.decode(): value.decode() for name, value in event.headers}
            else:
                body += event.data
            if event.stream_ended:
                return int(head[":status"]), head, bytes(body)

    async def ask(self, *arguments, body=None, **more):
        stream = self.begin(*arguments, end=body is None, **more)
        if body is not None:
            self.say(stream, body, True)
        return await self.answer(stream)


def configuration(**more):
    return QuicConfiguration(
        is_client=True, alpn_protocols=H3_ALPN, verify_mode=ssl.CERT_NONE, server_name="localhost", **more
    )


def client(port, config=None, **more):
    config = config or configuration()
    return connect("127.0.0.1", port, configuration=config, create_protocol=Http, **more)


async def echo(port):
    tickets = []
    async with client(port, session_ticket_handler=tickets.append) as http:
        status, head, body = await http.ask("POST", "/", body=b"hello")
        assert (status, body) == (200, b"hello"), (status, body)
        assert head["content-type"] == "text/plain; charset=UTF-8", head
        assert "date" in head and "alt-svc" not in head, head
        status, head, body = await http.ask("GET", "/", fields=[("accept", "text/html")])
        assert status == 200 and head["content-type"].startswith("text/html"), head
        assert int(head["content-length"]) == len(body)
        assert b'"HTTP/3"' in (await http.ask("GET", "/.sockeye/facts.json"))[2]

        # Both directions at once: each piece comes back before the next one is said.
        stream = http.begin("POST", "/", end=False)
        for piece in (b"one", b"two", b"three"):
            http.say(stream, piece)
            assert await http.piece(stream, len(piece)) == piece
        http.say(stream, b"", True)

        many = [f"request {number}".encode() for number in range(50)]
        answers = await asyncio.gather(*(http.ask("POST", "/", body=body) for body in many))
        assert [body for _, _, body in answers] == many
        large = hashlib.shake_128(b"seed").digest(2 << 20)
        assert (await http.ask("POST", "/", body=large))[2] == large

        # What is refused is refused as in the other versions.
        for status, question in (
            (421, ("POST", "/", "evil.example")),
            (403, ("POST", "/", "localhost", [("origin", "https://evil.example")])),
            (405, ("CONNECT", "/")),
            (414, ("GET", "/" + 9000 * "a")),
            (431, ("GET", "/", "localhost", [("x", 20000 * "a")] * 4)),
        ):
            answer = await http.ask(*question)
            assert answer[0] == status, (status, answer)

        # One that is given up takes nothing from the others.
        stream = http.begin("POST", "/", end=False)
        http.say(stream, b"never mind")
        await http.piece(stream, 10)
        http._quic.reset_stream(stream, CANCELLED)
        http._quic.stop_stream(stream, CANCELLED)
        http.transmit()
        assert (await http.ask("POST", "/", body=b"still there"))[2] == b"still there"
    assert tickets
    async with client(port, configuration(session_ticket=tickets[0])) as http:
        assert http._quic.tls.session_resumed
        assert (await http.ask("POST", "/", body=b"again"))[2] == b"again"


async def early(port):
    """Asks before the end of the handshake, which a server may take or not; `tickets` may be used once each."""
    tickets = []
    async with client(port, session_ticket_handler=tickets.append) as http:
        assert (await http.ask("GET", "/"))[0] == 200
    for method in ("GET", "POST"):
        config = configuration(session_ticket=tickets.pop())
        async with client(port, config, wait_connected=False, session_ticket_handler=tickets.append) as http:
            http.http = H3Connection(http._quic)
            stream = http.begin(method, "/")
            status, _, body = await http.answer(stream)
            assert (status, body) == (200, b"pong"), (status, body)
            assert http._quic.tls.session_resumed and http._quic.tls.early_data_accepted, method
            # The stream was opened before there was anything from the server.
            assert stream == 0


async def site(port, size, digest):
    async with client(port) as http:
        status, head, body = await http.ask("GET", "/large")
        assert (status, len(body)) == (200, size), (status, len(body))
        assert int(head["content-length"]) == size
        assert hashlib.sha256(body).hexdigest() == digest
        status, head, body = await http.ask("GET", "/large", fields=[("range", "bytes=5-9")])
        assert (status, len(body)) == (206, 5), (status, head)
        assert (await http.ask("GET", "/nonesuch"))[0] == 404


async def stop(port, pid):
    async with client(port) as http:
        stream = http.begin("POST", "/", end=False)
        http.say(stream, b"before ")
        assert await http.piece(stream, 7) == b"before "
        os.kill(pid, signal.SIGTERM)
        http.say(stream, b"and after", True)
        assert await http.piece(stream, 9) == b"and after"
        end = await asyncio.wait_for(http.terminated, LIMIT)
        assert end.error_code == NO_ERROR, end


class Server(Http):
    """Answers with what was asked; `/code` by resetting, `/large` at length, and as the names in `odd` say."""

    leaving = False
    refusing = False

    def odd(self, path, stream):
        """What servers do less often; whether `path` is one of these."""
        head, data = [(b":status", b"200")], b"12345"
        if self.leaving:
            self.close(error_code=NO_ERROR)
            return True
        if self.refusing:
            self._quic.reset_stream(stream, REJECTED)
            self.transmit()
            return True
        match path:
            case "/trailers":
                self.http.send_headers(stream, head)
                self.http.send_data(stream, data, False)
                self.http.send_headers(stream, [(b"x-sum", b"15")], True)
            case "/hints":
                hints = [(b":status", b"103"), (b"link", b"</style.css>")]
                hints = self.http._encode_headers(stream, hints)
                self._quic.send_stream_data(stream, encode_frame(FrameType.HEADERS, hints))
                self.http.send_headers(stream, head)
                self.http.send_data(stream, data, True)
            case "/short":
                self.http.send_headers(stream, [*head, (b"content-length", b"10")])
                self.http.send_data(stream, data, True)
            case "/half" | "/half-frame":
                # A frame of ten bytes that ends after five, with the end of the stream at once or a moment later.
                self.http.send_headers(stream, head)
                frame = encode_uint_var(FrameType.DATA) + encode_uint_var(10) + data
                self._quic.send_stream_data(stream, frame, path == "/half")
                if path == "/half-frame":
                    end = asyncio.get_running_loop().call_later
                    end(0.1, lambda: (self._quic.send_stream_data(stream, b"", True), self.transmit()))
            case "/broken":
                self.http.send_headers(stream, head)
                self.http.send_data(stream, data, False)
                reset = asyncio.get_running_loop().call_later
                reset(0.1, lambda: (self._quic.reset_stream(stream, NO_ERROR + 2), self.transmit()))
            case "/goodbye":
                self.http.send_headers(stream, head)
                self.http.send_data(stream, data, True)
                self.leaving = True
            case "/enough":
                # It takes nothing beyond this, and stays until that has been answered.
                control = self.http._local_control_stream_id
                goaway = encode_frame(FrameType.GOAWAY, encode_uint_var(stream + 4))
                self._quic.send_stream_data(control, goaway)
                self.http.send_headers(stream, head)
                self.http.send_data(stream, data, True)
                self.refusing = True
            case "/careful":
                # RFC 8470, section 5.2.
                early = self._quic.tls.early_data_accepted
                self.http.send_headers(stream, [(b":status", b"425")] if early else head)
                self.http.send_data(stream, b"" if early else data, True)
            case "/nonsense":
                self.http.send_headers(stream, [(b"x-status", b"200")], True)
            case _:
                return False
        self.transmit()
        return True

    def heard(self, event):
        asked = self.streams.setdefault(event.stream_id, [{}, b""])
        if isinstance(event, HeadersReceived):
            asked[0] |= {name.decode(): value.decode() for name, value in event.headers}
        else:
            asked[1] += event.data
        if not event.stream_ended:
            return
        head, body = asked
        if self.odd(head[":path"], event.stream_id):
            return None
        if head[":path"] == "/code":
            self._quic.reset_stream(event.stream_id, NO_ERROR + 2)
            return self.transmit()
        status = "404" if head[":path"] == "/nonesuch" else "200"
        names = (":method", ":path", ":authority", "content-length", "x-word")
        text = " ".join(head.get(name, "none") for name in names) + f" {len(body)}\n"
        text = text.encode() * (100000 if head[":path"] == "/large" else 1)
        self.http.send_headers(event.stream_id, [(b":status", status.encode())])
        self.http.send_data(event.stream_id, text, True)
        self.transmit()


async def serving(certificate, key):
    config = QuicConfiguration(is_client=False, alpn_protocols=H3_ALPN)
    config.load_cert_chain(certificate, key)
    tickets = {}
    server = await serve(
        "127.0.0.1",
        0,
        configuration=config,
        create_protocol=Server,
        session_ticket_fetcher=lambda label: tickets.pop(label, None),
        session_ticket_handler=lambda ticket: tickets.update({ticket.ticket: ticket}),
    )
    port = server._transport.get_extra_info("sockname")[1]
    print(f"listening h3 127.0.0.1:{port}", file=sys.stderr, flush=True)
    await asyncio.Future()


async def main():
    match sys.argv[1:]:
        case ["echo", port]:
            await echo(int(port))
        case ["early", port]:
            await early(int(port))
        case ["site", port, size, digest]:
            await site(int(port), int(size), digest)
        case ["stop", port, pid]:
            await stop(int(port), int(pid))
        case ["serve", certificate, key]:
            await serving(certificate, key)
    print("all is well", flush=True)


asyncio.run(main())
