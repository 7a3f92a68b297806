"""A command of a service, run beside it: with the settings of its process, as ``kubectl exec`` would in a cluster."""

import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from tiketi_local import platform
from tiketi_local.part import Part
from tiketi_local.process import child_environment
from tiketi_local.site import Site

PARTS: Mapping[str, Callable[[Site], Part]] = {
    "auth": platform.auth,
    "ticket": platform.ticket,
    "payment": platform.payment,
    "stats": platform.stats,
}
"""Parts that have commands, by their names."""

_SCRIPTS = Path(sys.executable).parent


class NoSuchCommand(Exception):
    """Nothing of that name can be run."""


def run(site: Site, part: str, words: Sequence[str]) -> int:
    """Run ``words`` with the settings of ``part``, in the caller's folder and terminal; the exit code.

    Raises NoSuchCommand.
    """
    environment = child_environment(PARTS[part](site).command().environment)
    environment["PATH"] = os.pathsep.join([str(_SCRIPTS), environment.get("PATH", os.defpath)])
    program = shutil.which(words[0], path=environment["PATH"])
    if program is None:
        raise NoSuchCommand(f"there is no command {words[0]}: try tiketi-{part} --help")
    return subprocess.run([program, *words[1:]], env=environment, check=False).returncode
