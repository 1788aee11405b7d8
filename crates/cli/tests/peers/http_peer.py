"""HTTP by others: `serve` is a server of `aiohttp`, `ask URL` clients of `aiohttp` and `httpx`, the latter in HTTP/2."""

import asyncio
import hashlib
import sys

import aiohttp
import httpx
from aiohttp import web

SIZE = 8 << 20


async def echo(request):
    """Every piece of the body, in capitals, while it comes."""
    answer = web.StreamResponse(headers={"X-Method": request.method})
    await answer.prepare(request)
    async for piece in request.content.iter_any():
        await answer.write(piece.upper())
    await answer.write_eof()
    return answer


async def seen(request):
    """What was asked, as text."""
    body = await request.read()
    length = request.headers.get("Content-Length", "none")
    kind = request.headers.get("Content-Type", "none")
    return web.Response(text=f"{request.method} {request.path_qs} {length} {kind} {len(body)}\n")


async def early(request):
    """An answer that does not wait for the request."""
    return web.Response(status=413, text="enough\n", headers={"Connection": "close"})


async def broken(request):
    """An answer that breaks off."""
    answer = web.StreamResponse(headers={"Content-Length": "10"})
    await answer.prepare(request)
    await answer.write(b"half\n")
    request.transport.close()
    return answer


async def serve():
    app = web.Application(client_max_size=SIZE * 2)
    app.router.add_route("*", "/echo", echo)
    app.router.add_route("*", "/seen", seen)
    app.router.add_route("*", "/early", early)
    app.router.add_route("*", "/broken", broken)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    port = site._server.sockets[0].getsockname()[1]
    print("listening http 127.0.0.1:%d" % port, file=sys.stderr, flush=True)
    await asyncio.Event().wait()


def pieces():
    """Eight mebibytes in pieces of odd sizes."""
    left, size = SIZE, 1
    while left > 0:
        size = min(left, (size * 7 + 1) % 70_000)
        left -= size
        yield bytes(index % 251 for index in range(size)) if size < 256 else b"x" * size


async def with_aiohttp(base):
    async with aiohttp.ClientSession() as session:
        sent, heard = hashlib.sha256(), hashlib.sha256()

        async def upload():
            for piece in pieces():
                sent.update(piece)
                yield piece

        async with session.post(base, data=upload()) as answer:
            assert answer.status == 200, answer.status
            async for piece in answer.content.iter_any():
                heard.update(piece)
        assert sent.digest() == heard.digest(), "the bytes differ"
        # One connection for many requests, also at the same time.
        async def one(number):
            async with session.put(base, data=b"%d" % number) as answer:
                assert await answer.read() == b"%d" % number

        await asyncio.gather(*(one(number) for number in range(100)))
        async with session.request("BREW", base, data=b"tea") as answer:
            assert await answer.read() == b"tea"


async def with_httpx(base):
    async with httpx.AsyncClient(http1=False, http2=True, verify=False, timeout=30) as client:
        answer = await client.post(base, content=b"hello")
        assert (answer.http_version, answer.content) == ("HTTP/2", b"hello"), answer

        async def upload():
            for piece in pieces():
                yield piece

        answer = await client.post(base, content=upload())
        assert answer.content == b"".join(pieces()), len(answer.content)
        answers = await asyncio.gather(
            *(client.post(base, content=b"%d" % number) for number in range(80))
        )
        assert [answer.content for answer in answers] == [b"%d" % n for n in range(80)]


async def ask(base):
    await with_aiohttp(base)
    for one in (base, base.replace("http:", "https:")):
        await with_httpx(one)
    print("all is well")


if sys.argv[1] == "serve":
    asyncio.run(serve())
else:
    asyncio.run(ask(sys.argv[2]))
