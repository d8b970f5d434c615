"""Likely causes of a crash, recognised in the server's exit code and log."""

from __future__ import annotations

import re

# Pattern, cause and remedy; the first pattern that matches counts. Exit codes come last: they say least.
_CAUSES = (
    (
        r"OOMKilled|out of memory|MemoryError|Cannot allocate memory",
        "It was killed because it needed more memory than its limit: loading a model takes several times the "
        "size of its file.",
        """
        Give it more memory (verify --image: --memory 4g; Kubernetes: resources.limits.memory), or load less: one
        worker process instead of several, the model memory-mapped or in a smaller format.
        """,
    ),
    (
        r"exec format error",
        "Its program cannot run on this machine: it was built for another architecture, or is a script without a "
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
        Write to /tmp only, which is writable here, and bring everything else in the image:
            ENV HF_HOME=/tmp/hf MPLCONFIGDIR=/tmp XDG_CACHE_HOME=/tmp/cache PYTHONDONTWRITEBYTECODE=1
        Where your platform lets containers write (Vertex AI does), run verify with --writable.
        """,
    ),
    (
        r"executable file not found|no such file or directory: unknown|command not found",
        "A command does not exist where the server runs, or is not on its PATH.",
        """
        Name a program that exists, in an image in exec form, if necessary with its full path:
            CMD ["/venv/bin/python", "-m", "server"]
        """,
    ),
    (
        r"no command specified",
        "The image has neither CMD nor ENTRYPOINT, so there is nothing to run.",
        'Add to the Dockerfile: CMD ["python", "-m", "server"]',
    ),
    (
        r"permission denied|PermissionError|Operation not permitted|EACCES|EPERM",
        "It does something that its user may not do: read files of another user, run a file that is not "
        "executable, bind a port below 1024, change its user.",
        """
        Make the files readable for the image's user, and do not rely on privileges:
            COPY --chmod=a+rX . /app
            USER 10001
        """,
    ),
    (
        r"ModuleNotFoundError|No module named|ImportError|cannot open shared object file|Cannot find module",
        "Something that it imports is not installed where it runs.",
        "Install it there (in an image: requirements.txt, apt-get install), and start the server once by hand.",
    ),
    (
        r"Address already in use|EADDRINUSE|Failed to bind",
        "It cannot bind its port: another process uses it, or the address is not this machine's.",
        "Bind the port once, on all addresses: server.add_insecure_port(f\"[::]:{os.environ['PORT']}\")",
    ),
    (
        r"exit code 137\b",
        "It was killed (SIGKILL), usually because of its memory.",
        "Watch its memory while it starts, and raise the limit (verify --image: --memory 4g).",
    ),
    (
        r"exit code 0\b",
        "It ended normally, as a script does that reached its end: nothing waits for the server.",
        """
        Wait after the start:
            server.start()
            server.wait_for_termination()    # aio: await server.wait_for_termination()
        """,
    ),
)
_CRASH = (
    "It crashed while it started, so nothing listens. The reason is in its log, above.",
    "Run the same command by hand, and fix what its log says.",
)


def crash_cause(exit_report: str) -> tuple[str, str]:
    """Likely cause and remedy, from the exit code and the last lines of the log."""
    for pattern, cause, remedy in _CAUSES:
        if re.search(pattern, exit_report, re.I):
            return cause, remedy
    return _CRASH
