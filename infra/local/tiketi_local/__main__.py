"""The command line: ``python -m tiketi_local up|demo|down|status|doctor|kubeconfig|run``."""

import argparse
import asyncio
import os
import re
import sys
import time
from datetime import timedelta
from typing import NoReturn

from rich.console import Console
from rich.markup import escape

from tiketi_local import commands, doctor, status
from tiketi_local.catalogue import GROUPS
from tiketi_local.demo import Demo, run_demo
from tiketi_local.errors import WorldError
from tiketi_local.world import DEFAULT_NAME, World

_WORLD_NAME = re.compile(r"[a-z0-9]([a-z0-9-]{0,18}[a-z0-9])?")


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        """Bad usage: one line, exit code 2."""
        print(f"{self.prog}: {message}", file=sys.stderr)
        sys.exit(2)


def _world(name: str) -> World:
    if not _WORLD_NAME.fullmatch(name):
        raise argparse.ArgumentTypeError(f"{name!r} is no world's name: a-z, 0-9 and -, at most 20 characters")
    return World.named(name)


def parse(words: list[str]) -> argparse.Namespace:
    """The command line as values; ends the program with code 2 on bad usage."""
    parser = _Parser(prog="tiketi_local", description="The whole Tiketi world on one machine.")
    subcommands = parser.add_subparsers(dest="command", required=True, parser_class=_Parser)
    default = os.environ.get("TIKETI_WORLD", DEFAULT_NAME)
    for name, about in {
        "up": "bring the world up; mends what has died",
        "demo": "bring the world up, put an event on sale and send a crowd",
        "down": "stop everything and leave nothing behind",
        "status": "show the parts",
        "doctor": "say what this machine lacks",
        "kubeconfig": "print the path of the kubeconfig",
        "run": "run a command with the settings of a service: run PART -- COMMAND ...",
    }.items():
        command = subcommands.add_parser(name, help=about, description=about)
        command.add_argument("--world", type=_world, default=default, help=f"name of the world [{default}]")
        if name == "up":
            groups = [group for group in GROUPS if group != "all"]
            command.add_argument("--only", choices=groups, default="all", help="start no more than this")
        if name == "demo":
            command.add_argument("--buyers", type=_count, default=1000, help="size of the crowd [1000]")
            command.add_argument("--lead", type=_count, default=30, help="seconds until the sale opens [30]")
        if name == "run":
            command.add_argument("part", choices=commands.PARTS, help="whose settings")
            command.add_argument("words", nargs=argparse.REMAINDER, metavar="-- COMMAND", help="what to run")
    arguments = parser.parse_args(words)
    if arguments.command == "run":
        arguments.words = arguments.words[arguments.words[:1] == ["--"] :]
        if not arguments.words:
            parser.error(f"name a command: run {arguments.part} -- tiketi-{arguments.part} --help")
    return arguments


def _count(text: str) -> int:
    if not text.isdecimal() or not 1 <= int(text) <= 100_000:
        raise argparse.ArgumentTypeError(f"{text!r} is no whole number from 1 to 100000")
    return int(text)


async def _up(world: World, group: str, console: Console) -> None:
    began = time.monotonic()

    def report(name: str, seconds: float, words: str) -> None:
        console.print(f"  [green]✓[/] {name:<24} {seconds:6.1f} s  {words}", highlight=False)

    def say(words: str) -> None:
        console.print(f"  [yellow]…[/] {words}", highlight=False)

    console.print(f"world [bold]{world.name}[/]", highlight=False)
    await world.up(group, report, say)
    console.print(f"up after {time.monotonic() - began:.1f} s", highlight=False)


async def _demo(world: World, demo: Demo, console: Console) -> int:
    await _up(world, "all", console)
    return await run_demo(world, demo, console)


async def _down(world: World, console: Console) -> None:
    began = time.monotonic()
    if not world.exists:
        console.print(f"there is no world {world.name}", highlight=False)
        return
    await world.down()
    console.print(f"world {world.name} is down after {time.monotonic() - began:.1f} s", highlight=False)


def _run(world: World, part: str, words: list[str]) -> int:
    """As ``kubectl exec``: what went wrong here is one line, all else is the command's own."""
    try:
        return commands.run(world.site, part, words)
    except (WorldError, commands.NoSuchCommand) as error:
        print(f"tiketi_local run: {error}", file=sys.stderr)
        return 2


def main(words: list[str] | None = None) -> int:
    """Run one command; the exit code."""
    arguments = parse(sys.argv[1:] if words is None else words)
    world: World = arguments.world
    console = Console(soft_wrap=True)
    try:
        match arguments.command:
            case "up":
                asyncio.run(_up(world, arguments.only, console))
            case "demo":
                demo = Demo(arguments.buyers, timedelta(seconds=arguments.lead))
                return asyncio.run(_demo(world, demo, console))
            case "down":
                asyncio.run(_down(world, console))
            case "status":
                console.print(status.table(world))
            case "doctor":
                return doctor.show(console)
            case "kubeconfig":
                print(world.kubeconfig)
            case "run":
                return _run(world, arguments.part, arguments.words)
    except WorldError as error:
        complaint = f"[red]✗[/] {escape(error.what)}\n  mend: {escape(error.mend)}"
        Console(stderr=True, soft_wrap=True).print(complaint, highlight=False)
        return 1
    except KeyboardInterrupt:
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
