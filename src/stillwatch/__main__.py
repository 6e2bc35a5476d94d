"""``stillwatch`` and ``python -m stillwatch``: Ctrl-C is taken over before anything heavy is imported."""

from __future__ import annotations

import sys

from stillwatch.cli import codes, interrupt


def main() -> None:
    """Run a command and end the process with one of the codes in ``cli.codes``."""
    interrupt.install()
    try:
        from stillwatch.cli.main import app  # noqa: PLC0415 - it is this import that Ctrl-C must be able to stop

        app(prog_name="stillwatch")
    except KeyboardInterrupt:
        _end("Stopped.", codes.STOPPED)
    except Exception:  # whatever was not foreseen
        if interrupt.seen():
            _end("Stopped.", codes.STOPPED)
        import traceback  # noqa: PLC0415 - rarely needed

        traceback.print_exc()
        _end(
            "This is a fault of Stillwatch. Please report the lines above, once you have seen that they quote nothing that must not leave.",
            codes.FAULT,
        )


def _end(line: str, code: int) -> None:
    interrupt.ignore()
    print(line, file=sys.stderr)
    sys.exit(code)


if __name__ == "__main__":
    main()
