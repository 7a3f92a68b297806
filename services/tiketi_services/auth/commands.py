"""What SREs do at a terminal: give roles, take them away, list them; look after dead letters."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable, Sequence
from typing import NoReturn

from tiketi_runtime import dead_letters, postgres
from tiketi_runtime.errors import TiketiError
from tiketi_services.auth import usecases
from tiketi_services.auth.domain import EVERYWHERE, Email, RoleGrant, check_namespace, check_role, normalise_email
from tiketi_services.auth.repository import PACKAGE, Accounts
from tiketi_services.auth.settings import AuthSettings


class _Parser(argparse.ArgumentParser):
    """Says what is wrong in one line."""

    def error(self, message: str) -> NoReturn:
        self.exit(2, f"{self.prog}: {message}\n")


def parse(argv: Sequence[str]) -> argparse.Namespace:
    """Read the command line; ``command`` is None to serve. Ends the process with 2 and one line if it is wrong."""
    parser = _Parser(prog="tiketi-auth", description="Serve (without a command), or look after roles and dead letters.")
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", parser_class=_Parser)
    for name, purpose in (("grant", "give a role"), ("revoke", "take a role away")):
        command = commands.add_parser(name, help=purpose)
        command.add_argument("email", metavar="EMAIL", type=_checked(normalise_email))
        command.add_argument("role", metavar="ROLE", type=_checked(check_role))
        command.add_argument(
            "--namespace",
            metavar="NAMESPACE",
            required=True,
            type=_checked(check_namespace),
            help=f"where it holds: a Kubernetes namespace, or {EVERYWHERE!r} for all",
        )
    listing = commands.add_parser("roles", help="list the roles of an account, or of all")
    listing.add_argument("email", metavar="EMAIL", nargs="?", type=_checked(normalise_email))
    dead_letters.add_command(commands)
    return parser.parse_args(argv)


async def run(arguments: argparse.Namespace, settings: AuthSettings) -> int:
    """Do it and say so; returns the exit code, 2 if there is no such account."""
    await postgres.migrate(settings.database_url, PACKAGE)
    async with await postgres.connect(settings.database_url, size=1) as pool:
        accounts = Accounts(pool)
        try:
            if arguments.command == "roles":
                lines = await _list(accounts, arguments.email)
            else:
                lines = [await _change(accounts, arguments)]
        except TiketiError as error:
            sys.stderr.write(f"tiketi-auth: {error.detail}\n")
            return 2
    sys.stdout.writelines(f"{line}\n" for line in lines)
    return 0


async def _list(accounts: Accounts, email: Email | None) -> list[str]:
    """A line for each role that was given; with the address, if the question was not about one."""
    if email is not None:
        return [f"{grant.role} {grant.namespace}" for grant in await usecases.grants(accounts, email)]
    return [f"{owner} {grant.role} {grant.namespace}" for owner, grant in await accounts.all_grants()]


async def _change(accounts: Accounts, arguments: argparse.Namespace) -> str:
    grant = RoleGrant(arguments.role, arguments.namespace)
    change, done, idle = {
        "grant": (usecases.grant, "granted", "was granted before"),
        "revoke": (usecases.revoke, "revoked", "was not granted"),
    }[arguments.command]
    changed = await change(accounts, arguments.email, grant, _actor())
    return f"{grant.role} in {grant.namespace}: {done if changed else idle}"


def _actor() -> str:
    """Who types; a pod's user has a number and no name."""
    return os.environ.get("SUDO_USER") or os.environ.get("USER") or f"uid {os.getuid()}"


def _checked(check: Callable[[str], str]) -> Callable[[str], str]:
    """argparse hides the message of a ValueError, and shows that of its own error."""

    def read(text: str) -> str:
        try:
            return check(text)
        except ValueError as error:
            raise argparse.ArgumentTypeError(str(error)) from error

    return read
