"""`protoserve` and `python -m protoserve`."""

import sys


def main() -> int:
    """The exit code of the command."""
    try:
        from protoserve import cli  # an interrupt may come before this is done
    except KeyboardInterrupt:
        print("protoserve: interrupted; nothing was changed", file=sys.stderr)
        return 130
    return cli.main()


if __name__ == "__main__":
    sys.exit(main())
