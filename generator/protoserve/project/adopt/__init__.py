"""`protoserve adopt`: brings a project that was made by hand, its own servicer and .proto, under the template."""


class AdoptError(Exception):
    """Why a project cannot be adopted, with what to do; nothing was changed."""
