"""Why a server ended by itself, as its last words tell."""

from __future__ import annotations

import re

# What it told, in the order in which causes are looked for: an exit code says less than the words beside it.
_CAUSES = (
    (
        r"OOMKilled|out of memory|MemoryError|Cannot allocate memory",
        "It was killed because it needed more memory than it may have: loading a model takes a multiple of its file.",
        """
        Give it the memory that it needs (verify: --memory 4g; Kubernetes: resources.limits.memory), or load less: one
        worker process instead of several, the model memory-mapped or in a smaller format.
        """,
    ),
    (
        r"exec format error",
        "Its program is not one for this machine: it was built for another architecture, or is a script without a "
        "first line such as #!/bin/sh (or with Windows line ends).",
        """
        Build for the platform that runs it, and start scripts with their interpreter:
            docker build --platform linux/amd64 -t IMAGE .
            CMD ["python", "-m", "server"]
        """,
    ),
    (
        r"Read-only file system|Errno 30\b|EROFS",
        "It writes to its root file system, which a locked-down platform mounts read-only: a cache, a log, a compiled "
        "file, a download.",
        """
        Write to /tmp only, which is writable here, and bring all else in the image:
            ENV HF_HOME=/tmp/hf MPLCONFIGDIR=/tmp XDG_CACHE_HOME=/tmp/cache PYTHONDONTWRITEBYTECODE=1
        Where your platform lets containers write (Vertex AI does), run verify with --writable.
        """,
    ),
    (
        r"executable file not found|no such file or directory: unknown|command not found",
        "The image's command does not exist in the image, or not on its PATH.",
        """
        Name a program that is there, in exec form, by its full path if need be:
            CMD ["/venv/bin/python", "-m", "server"]
        """,
    ),
    (
        r"no command specified",
        "The image has neither CMD nor ENTRYPOINT: nothing says what to run.",
        'Add to the Dockerfile: CMD ["python", "-m", "server"]',
    ),
    (
        r"permission denied|PermissionError|Operation not permitted|EACCES|EPERM",
        "It does something that its user may not do: read files that belong to somebody else, run a file that is not "
        "executable, bind a port below 1024, change its user.",
        """
        Make the files readable for the user that the image names, and let it need no privileges:
            COPY --chmod=a+rX . /app
            USER 10001
        """,
    ),
    (
        r"ModuleNotFoundError|No module named|ImportError|cannot open shared object file|Cannot find module",
        "Something that it imports is not installed in the image.",
        "Install it in the image (requirements.txt, apt-get install), and start the container once by hand.",
    ),
    (
        r"Address already in use|EADDRINUSE|Failed to bind",
        "It cannot bind its port: something else has it, or the address is not this machine's.",
        "Bind one port once, on all addresses: server.add_insecure_port(f\"[::]:{os.environ['PORT']}\")",
    ),
    (
        r"exit code 137\b",
        "It was killed (SIGKILL): most often for its memory.",
        "Watch its memory while it starts, and give it more (verify: --memory 4g).",
    ),
    (
        r"exit code 0\b",
        "It ended in good order, as a script does that reached its end: nothing waits for the server's end.",
        """
        Wait after the start:
            server.start()
            server.wait_for_termination()    # aio: await server.wait_for_termination()
        """,
    ),
)
_CRASH = (
    "It crashed while it started, so nothing listens. Its log, above, has the reason.",
    "Run the same command by hand, and mend what its log says.",
)


def why(told: str) -> tuple[str, str]:
    """Likely cause and remedy, from its exit code and the last lines of its log."""
    found = (rest for pattern, *rest in _CAUSES if re.search(pattern, told, re.I))
    cause, remedy = next(found, _CRASH)
    return cause, remedy
