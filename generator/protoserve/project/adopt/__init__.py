"""`protoserve adopt`: brings a hand-made project, with its own servicer and .proto, under the template."""

from protoserve.platform.errors import ProtoserveError


class AdoptError(ProtoserveError):
    """Why a project cannot be adopted, and what to do about it; nothing was changed."""
