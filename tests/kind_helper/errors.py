"""What can go wrong with a test cluster, each error with a remedy."""


class KindHelperError(Exception):
    """Base of the helper's errors: a sentence that says what happened, and what to do about it."""

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint

    def __str__(self) -> str:
        return f"{self.message}\n{self.hint}" if self.hint else self.message


class Unavailable(KindHelperError):
    """No cluster can be had on this machine; the message is the reason in one line."""


class CommandFailed(KindHelperError):
    """A program that the helper started ended with an error; carries its exit code and output."""

    def __init__(self, command: list[str], code: int, output: str, hint: str = "") -> None:
        shown = " ".join(command[:6]) + (" …" if len(command) > 6 else "")
        tail = "\n".join(output.strip().splitlines()[-12:])
        super().__init__(f"`{shown}` ended with {code}: {tail or 'no output'}", hint)
        self.code = code
        self.output = output
