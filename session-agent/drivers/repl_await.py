"""Await at the top of a step: one event loop for the life of the interpreter, which turns while a step awaits."""
import asyncio


async def _all(codes, namespace):
    value = None
    for code in codes:
        value = None if code is None else eval(code, namespace)
        if code is not None and code.co_flags & 0x80:  # CO_COROUTINE
            value = await value
    return value


def evaluate(codes, namespace):
    if state.loop is None or state.loop.is_closed():
        state.loop = asyncio.new_event_loop()
    asyncio.set_event_loop(state.loop)  # asyncio.run() of another step has taken it away
    task = state.loop.create_task(_all(codes, namespace))
    try:
        return state.loop.run_until_complete(task)
    except BaseException:
        if not task.done():
            task.cancel()
            try:
                # Not for ever: an interrupt within the loop's own code may have lost the task.
                state.loop.run_until_complete(asyncio.wait({task}, timeout=1))
            except BaseException:
                pass
        raise
