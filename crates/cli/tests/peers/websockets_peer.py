"""Python's `websockets`, in both roles. Each part ends with an exit code that is not 0 when something was wrong."""

import asyncio
import ssl
import sys

import websockets
from websockets.exceptions import ConnectionClosed


def trusting_nobody_else(uri):
    if not uri.startswith("wss:"):
        return None
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


async def ask(uri):
    """Text, bytes, an empty message, a large one in fragments, a ping; then a close with its code."""
    async with websockets.connect(uri, ssl=trusting_nobody_else(uri)) as peer:
        for said in ["你好", b"\x00\xff", "", "x" * 100_000]:
            await peer.send(said)
            assert await peer.recv() == said, said[:20]
        await peer.send(["in ", "three ", "fragments"])
        assert await peer.recv() == "in three fragments"
        await asyncio.wait_for(await peer.ping(), 10)
        await peer.close(1000, "done")
        assert peer.close_code == 1000, peer.close_code
    print("all is well")


async def serve():
    """Says its port, answers each message in upper case, and closes with 4001 on `leave`."""

    async def upper(peer):
        async for message in peer:
            if message == "leave":
                await peer.close(4001, "as you wish")
            else:
                await peer.send(message.upper())

    async with websockets.serve(upper, "127.0.0.1", 0) as server:
        print(server.sockets[0].getsockname()[1], flush=True)
        await server.serve_forever()


async def refused(uri, origin):
    """A page of another site must not get in."""
    try:
        async with websockets.connect(uri, origin=origin):
            sys.exit("it was let in")
    except websockets.exceptions.InvalidStatus as refusal:
        print(refusal.response.status_code)
    except ConnectionClosed as closed:
        sys.exit(f"closed instead of refused: {closed}")


asyncio.run({"ask": ask, "serve": serve, "refused": refused}[sys.argv[1]](*sys.argv[2:]))
