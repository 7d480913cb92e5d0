"""What the command lines of localcloud's processes share: a mistake is one line and status 2."""

from __future__ import annotations

import argparse
from typing import NoReturn


class OneLineParser(argparse.ArgumentParser):
    """argparse without the usage text before each complaint."""

    def error(self, message: str) -> NoReturn:
        program = self.prog.removeprefix("python -m ")
        self.exit(2, f"{program}: {message} (see {self.prog} --help)\n")
