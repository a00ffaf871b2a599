"""WebSockets as people use them: a real server and real clients (Python's websockets), with the gateway between."""

import asyncio
import os
import threading

import pytest
import websockets

from harness.wait import scaled

MOST = 32 << 20


class Server:
    """Echoes, and says what it is told to say."""

    def __init__(self):
        self.name = "websockets"
        self._ready = threading.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._run()), daemon=True)
        self._thread.start()
        assert self._ready.wait(scaled(10))

    async def _run(self):
        self._loop = asyncio.get_running_loop()
        self._end = asyncio.Event()
        async with websockets.serve(self._serve, "127.0.0.1", 0, max_size=MOST, subprotocols=["chat.v2", "chat.v1"]) as server:
            self.address = "127.0.0.1:%d" % server.sockets[0].getsockname()[1]
            self._ready.set()
            await self._end.wait()

    async def _serve(self, socket, *_):
        async for message in socket:
            if message == "count":
                for number in range(1000):
                    await socket.send(str(number))
            elif message == "leave":
                await socket.close(4001, "as you like")
            else:
                await socket.send(message)

    def stop(self):
        self._loop.call_soon_threadsafe(self._end.set)
        self._thread.join(10)


@pytest.fixture(scope="module")
def gateway(make_once):
    server = make_once.keep(Server())
    documents = {
        # Long streams: a tunnel must not care about the route's timeout.
        "routes/all": {"path": "/*", "service": "web", "timeout": "1s"},
        "upstreams/web": {"endpoints": [{"address": server.address}]},
    }
    return make_once.gateway(documents, limits={"idle_timeout": "1s", "body_timeout": "1s"})


def talk(gateway, conversation, **how):
    async def run():
        async with websockets.connect("ws://%s:%d/chat" % gateway.address, max_size=MOST, **how) as socket:
            return await conversation(socket)

    return asyncio.run(asyncio.wait_for(run(), scaled(60)))


async def echoes(socket, message):
    await socket.send(message)
    return await socket.recv() == message


@pytest.mark.parametrize("size", [0, 1, 125, 126, 65_535, 65_536, 1 << 20, 16 << 20])
def test_frames_of_all_sizes_come_back_whole(gateway, size):
    assert talk(gateway, lambda socket: echoes(socket, os.urandom(size)), compression=None)


def test_text_compression_and_a_subprotocol_are_agreed_end_to_end(gateway):
    async def conversation(socket):
        assert socket.subprotocol == "chat.v1"
        return await echoes(socket, "grüße " * 50_000)

    assert talk(gateway, conversation, compression="deflate", subprotocols=["chat.v0", "chat.v1"])


def test_a_message_in_pieces_comes_back_whole(gateway):
    async def conversation(socket):
        await socket.send([b"a" * 100_000, b"b", b"", b"c" * 70_000])
        return await socket.recv()

    assert talk(gateway, conversation) == b"a" * 100_000 + b"b" + b"c" * 70_000


def test_the_server_speaks_many_times_in_order(gateway):
    async def conversation(socket):
        await socket.send("count")
        return [await socket.recv() for _ in range(1000)]

    assert talk(gateway, conversation) == [str(number) for number in range(1000)]


def test_pings_are_answered_by_the_other_end(gateway):
    async def conversation(socket):
        await asyncio.wait_for(await socket.ping(b"there?"), scaled(10))
        return True

    assert talk(gateway, conversation)


def test_the_servers_close_code_and_reason_arrive(gateway):
    async def conversation(socket):
        await socket.send("leave")
        await socket.wait_closed()
        return socket.close_code, socket.close_reason

    assert talk(gateway, conversation) == (4001, "as you like")


def test_a_silent_socket_outlives_every_timeout(gateway):
    async def conversation(socket):
        assert await echoes(socket, "before")
        await asyncio.sleep(2.5)  # more than twice the route's timeout, idle_timeout and body_timeout: silence is what is tested
        return await echoes(socket, "after")

    assert talk(gateway, conversation, ping_interval=None)


def test_many_at_once_each_get_their_own(gateway):
    async def one(number):
        async with websockets.connect("ws://%s:%d/%d" % (*gateway.address, number)) as socket:
            for turn in range(20):
                message = f"{number}/{turn} " * 200
                if not await echoes(socket, message):
                    return False
        return True

    async def run():
        return await asyncio.gather(*(one(number) for number in range(50)))

    assert all(asyncio.run(asyncio.wait_for(run(), scaled(60))))
