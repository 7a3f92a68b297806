"""``python -m tiketi_local.toss``: run the simulator until SIGTERM."""

from __future__ import annotations

import argparse
from pathlib import Path

from aiohttp import web

from tiketi_local.toss.app import create_app
from tiketi_local.toss.journal import Journal
from tiketi_local.toss.simulator import Simulator


def main() -> None:
    """Read the command line and serve."""
    parser = argparse.ArgumentParser(prog="tiketi_local.toss", description="Toss Payments, simulated.")
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on (default: %(default)s)")
    parser.add_argument("--port", type=int, required=True, help="port to listen on")
    parser.add_argument("--journal", type=Path, help="file that keeps payments over a restart")
    parser.add_argument("--client-key", help="the one client key to accept (default: any well-formed test key)")
    parser.add_argument("--secret-key-file", type=Path, help="file with the one secret key to accept (default: any)")
    parser.add_argument("--webhook-url", help="where webhooks are sent (default: nowhere, until it is set)")
    parser.add_argument("--webhook-minute", type=float, default=60.0, help="seconds a minute between retries lasts")
    options = parser.parse_args()
    secret_key = options.secret_key_file.read_text().strip() if options.secret_key_file else None
    with Journal(options.journal) as journal:
        simulator = Simulator.over(journal, secret_key=secret_key, client_key=options.client_key)
        simulator.webhooks.url, simulator.webhooks.minute = options.webhook_url, options.webhook_minute
        simulator.webhooks.own_url = f"http://{options.host}:{options.port}"
        web.run_app(
            create_app(simulator),
            host=options.host,
            port=options.port,
            shutdown_timeout=1,  # answers that a fault switch holds back are not worth waiting for
            access_log=None,
            print=None,
        )


if __name__ == "__main__":
    main()
