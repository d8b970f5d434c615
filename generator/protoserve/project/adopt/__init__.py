"""`protoserve adopt`: brings a project that was made by hand, its own servicer and .proto, under the template."""

from protoserve.platform.errors import ProtoserveError


class AdoptError(ProtoserveError):
    """Why a project cannot be adopted, with what to do; nothing was changed."""
