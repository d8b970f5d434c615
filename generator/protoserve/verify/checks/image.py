"""`image-architecture`, `image-user`, `image-size`: what an image is, before anything of it runs."""

from __future__ import annotations

from protoserve.verify.checks.base import Check
from protoserve.verify.report import Finding, failed, passed, skipped, warned
from protoserve.verify.session import Session
from protoserve.verify.targets.image import ImageServer

VERTEX = "linux/amd64"
LARGE = 10 * 1000**3  # bytes


def architecture(session: Session) -> Finding:
    server = session.process
    if not isinstance(server, ImageServer):
        return skipped(_NO_IMAGE)
    found = server.image.platform
    wanted, who = (VERTEX, "Vertex AI") if session.platform == "vertex" else (server.engine, "this machine's engine")
    if found == wanted:
        return passed(f"{found}, which {who} runs")
    return failed(
        f"the image is for {found}, and {who} runs {wanted}",
        f'The image was built on (or for) another kind of machine: there it ends with "exec format error". An image '
        f"that is built on an Apple or another ARM machine is for {'linux/arm64' if 'arm' in found else found}, unless "
        "the build says otherwise.",
        f"""
        Build for the platform that runs it:
            docker build --platform {wanted} -t {server.image.name} .
        """,
    )


def user(session: Session) -> Finding:
    server = session.process
    if not isinstance(server, ImageServer):
        return skipped(_NO_IMAGE)
    found = server.image.user
    if found.isdecimal() and int(found) != 0:
        return passed(f"runs as user {int(found)}")
    tell = failed if session.platform == "kubernetes" else warned
    if found in ("", "root") or found.isdecimal():
        return tell(
            f"runs as {f'user {found}' if found else 'root: the image names no user'}",
            "The server is root in its container. Kubernetes refuses that under the restricted profile (runAsNonRoot: "
            '"container has runAsNonRoot and image will run as root").',
            _NUMBER,
        )
    return tell(
        f"runs as user {found!r}, by name",
        'Kubernetes cannot see that a name is not root, and refuses it where runAsNonRoot is set: "image has '
        f'non-numeric user ({found}), cannot verify user is non-root".',
        _NUMBER,
    )


def size(session: Session) -> Finding:
    server = session.process
    if not isinstance(server, ImageServer):
        return skipped(_NO_IMAGE)
    found = server.image.size
    told = f"{_bytes(found)} on this machine's disk (unpacked; a registry holds less)"
    if found <= LARGE:
        return passed(told)
    return warned(
        told,
        f"More than {_bytes(LARGE)}: every new machine pulls and unpacks it before the server can start. A platform "
        "that waits for a limited time may give up, or run out of disk.",
        """
        See what is large: docker history IMAGE. Most often it is CUDA that the CPU does not need (take the CPU wheels),
        build tools (use a second stage), a package cache (pip install --no-cache-dir), or models that are not used.
        """,
    )


def _bytes(count: int) -> str:
    return f"{count / 1000**3:.1f} GB" if count >= 1000**3 else f"{count / 1000**2:.0f} MB"


_NO_IMAGE = "the target is no image"
_NUMBER = """
    Name a user by number in the Dockerfile, after all that needs root:
        USER 10001:10001
    """

ARCHITECTURE = Check("image-architecture", "the image is for the platform's machines", architecture, kinds=("image",))
USER = Check("image-user", "it runs as a numbered user that is not root", user, kinds=("image",))
SIZE = Check("image-size", "the image is not too large to be pulled", size, kinds=("image",))
