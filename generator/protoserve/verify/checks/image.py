"""`image-architecture`, `image-user`, `image-size`: properties of an image, before it is started."""

from __future__ import annotations

from protoserve.verify.checks.check import Check
from protoserve.verify.report import Finding, failed, passed, warned
from protoserve.verify.session import Session
from protoserve.verify.targets.image import ImageServer

VERTEX_PLATFORM = "linux/amd64"
LARGE = 10 * 1000**3  # bytes


def _server(session: Session) -> ImageServer:
    assert isinstance(session.process, ImageServer)  # these checks are for targets of this kind only
    return session.process


def architecture(session: Session) -> Finding:
    server = _server(session)
    built_for = server.image.platform
    vertex = session.platform == "vertex"
    required, runner = (VERTEX_PLATFORM, "Vertex AI") if vertex else (server.engine, "this machine's engine")
    if built_for == required:
        return passed(f"{built_for}, which {runner} runs")
    return failed(
        f"the image is for {built_for}, but {runner} runs {required}",
        'The image was built on (or for) another kind of machine: there it ends with "exec format error". An image '
        "that is built on an Apple or another ARM machine is for that machine, unless the build says otherwise.",
        f"""
        Build for the platform that runs it:
            docker build --platform {required} -t {server.image.name} .
        """,
    )


def user(session: Session) -> Finding:
    name = _server(session).image.user
    if name.isdecimal() and int(name) != 0:
        return passed(f"runs as user {int(name)}")
    finding = failed if session.platform == "kubernetes" else warned
    if name in ("", "root") or name.isdecimal():
        return finding(
            f"runs as {f'user {name}' if name else 'root: the image names no user'}",
            "The server is root in its container. Kubernetes refuses that under the restricted profile (runAsNonRoot: "
            '"container has runAsNonRoot and image will run as root").',
            _USER_BY_NUMBER,
        )
    return finding(
        f"runs as user {name!r}, by name",
        'Kubernetes cannot see that a name is not root, and refuses it if runAsNonRoot is set: "image has '
        f'non-numeric user ({name}), cannot verify user is non-root".',
        _USER_BY_NUMBER,
    )


def size(session: Session) -> Finding:
    unpacked = _server(session).image.size
    seen = f"{_bytes(unpacked)} on this machine's disk (unpacked; less in a registry)"
    if unpacked <= LARGE:
        return passed(seen)
    return warned(
        seen,
        f"More than {_bytes(LARGE)}: every new machine pulls and unpacks it before the server can start. A platform "
        "that waits for a limited time may give up, or run out of disk space.",
        """
        See what is large: docker history IMAGE. Most often it is CUDA, which a CPU does not need (use the CPU wheels),
        build tools (use a second stage), a package cache (pip install --no-cache-dir), or models that are not used.
        """,
    )


def _bytes(count: int) -> str:
    return f"{count / 1000**3:.1f} GB" if count >= 1000**3 else f"{count / 1000**2:.0f} MB"


_USER_BY_NUMBER = """
    Name a user by number in the Dockerfile, after all that needs root:
        USER 10001:10001
    """

ARCHITECTURE = Check("image-architecture", "the image is for the platform's machines", architecture, kinds=("image",))
USER = Check("image-user", "it runs as a numbered user that is not root", user, kinds=("image",))
SIZE = Check("image-size", "the image is not too large to be pulled", size, kinds=("image",))
