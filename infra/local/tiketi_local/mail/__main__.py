"""``python -m tiketi_local.mail``: catch mail until SIGTERM."""

from __future__ import annotations

import argparse
import asyncio
import signal

from tiketi_local.mail.catcher import catching


async def serve(host: str, smtp_port: int, http_port: int) -> None:
    """Catch until told to stop."""
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    async with catching(host, smtp_port, http_port):
        await stop.wait()


def main() -> None:
    """Read the command line and serve."""
    parser = argparse.ArgumentParser(prog="tiketi_local.mail", description="A mail catcher: SMTP in, HTTP out.")
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on (default: %(default)s)")
    parser.add_argument("--smtp-port", type=int, required=True, help="port for mail")
    parser.add_argument("--http-port", type=int, required=True, help="port for readers")
    options = parser.parse_args()
    asyncio.run(serve(options.host, options.smtp_port, options.http_port))


if __name__ == "__main__":
    main()
