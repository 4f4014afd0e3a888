# title: asyncio: TCP and unix servers, subprocesses, timeouts, signals
import asyncio
import signal

async def echo(reader, writer):
    writer.write((await reader.readline()).upper())
    await writer.drain()
    writer.close()

async def main():
    tcp = await asyncio.start_server(echo, "127.0.0.1", 0)
    unix = await asyncio.start_unix_server(echo, "/tmp/echo")
    for opened in (asyncio.open_connection(*tcp.sockets[0].getsockname()), asyncio.open_unix_connection("/tmp/echo")):
        reader, writer = await opened
        writer.write(b"hello\n")
        assert await reader.readline() == b"HELLO\n"
        writer.close()
    child = await asyncio.create_subprocess_exec("tr", "a-z", "A-Z", stdin=-1, stdout=-1)
    out, _ = await asyncio.wait_for(child.communicate(b"piped"), 10)
    assert out == b"PIPED"
    got = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGUSR1, got.set)
    signal.raise_signal(signal.SIGUSR1)
    await asyncio.wait_for(got.wait(), 5)
    try:
        await asyncio.wait_for(asyncio.sleep(9), 0.05)
        raise AssertionError
    except asyncio.TimeoutError:
        pass
    assert (await asyncio.get_running_loop().getaddrinfo("localhost", 80))

asyncio.run(main())
print("WORKS")
