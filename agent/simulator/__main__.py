"""The command `python -m agent.simulator`: flags, start, signals, end."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import sys
from collections.abc import Sequence
from functools import partial

from agent.parent import watch_parent
from agent.settings import SettingError, parent_fd
from agent.simulator.options import Options, parse_options
from agent.simulator.service import Simulator


def main(argv: Sequence[str] | None = None) -> int:
    """Run a simulator until told to end. Returns 0; 1 when it cannot listen, 2 when a setting is wrong."""
    options = parse_options(argv)
    logging.basicConfig(level=logging.INFO, format="%(levelname)s %(message)s")
    try:
        fd = parent_fd(os.environ)
    except SettingError as error:
        sys.stderr.write(f"simulator: {error}\n")
        return 2
    try:
        return asyncio.run(_run(options, fd))
    except KeyboardInterrupt:
        # Only where signals cannot be given to the loop, which is on Windows.
        return 0


async def _run(options: Options, fd: int | None) -> int:
    simulator = Simulator(options)
    try:
        await simulator.start()
    except OSError as error:
        reason = error.strerror or str(error)
        sys.stderr.write(f"simulator: cannot listen on {options.host} port {options.port}: {reason}\n")
        return 1
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    if os.name == "posix":
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, stop.set)
    if fd is not None:
        watch_parent(fd, partial(_stop_from_thread, loop, stop))
    sys.stdout.write(
        f"simulator ({options.dialect}, {', '.join(options.models)}) listening on {simulator.url}\n"
    )
    sys.stdout.flush()
    await stop.wait()
    await simulator.stop()
    return 0


def _stop_from_thread(loop: asyncio.AbstractEventLoop, stop: asyncio.Event) -> None:
    loop.call_soon_threadsafe(stop.set)


if __name__ == "__main__":
    sys.exit(main())
