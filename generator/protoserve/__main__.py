"""`protoserve` and `python -m protoserve`."""

import sys


def main() -> int:
    """The exit code of the command."""
    try:
        from protoserve import cli

        return cli.main()
    except KeyboardInterrupt:  # before a command began, which handles its own
        print("protoserve: interrupted; nothing was changed", file=sys.stderr)
        return 130


if __name__ == "__main__":
    sys.exit(main())
