"""The one kind of error a person at the keyboard is meant to read."""


class WorldError(Exception):
    """Something that can be mended from outside: says in one line what is wrong and what to do."""

    def __init__(self, what: str, mend: str) -> None:
        super().__init__(f"{what}; {mend}")
        self.what = what
        self.mend = mend
