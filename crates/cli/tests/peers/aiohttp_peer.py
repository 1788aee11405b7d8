"""Python's `aiohttp` as a client: requests and WebSocket on one port."""

import asyncio
import sys

import aiohttp


async def main(base):
    async with aiohttp.ClientSession() as session:
        async with session.post(base, data="hello over HTTP") as answer:
            assert answer.status == 200, answer.status
            assert await answer.text() == "hello over HTTP"

        async def pieces():
            for piece in ["one ", "two ", "三"]:
                yield piece.encode()

        async with session.put(base, data=pieces()) as answer:
            assert await answer.text() == "one two 三"
        async with session.ws_connect(base) as peer:
            await peer.send_str("你好")
            assert await peer.receive_str() == "你好"
            await peer.send_bytes(b"\x00\xff")
            assert await peer.receive_bytes() == b"\x00\xff"
    print("all is well")


asyncio.run(main(sys.argv[1]))
