"""`protoserve new`: asks the questions of a template's copier.yml, and lets Copier create the project."""

from protoserve.platform.errors import ProtoserveError


class NewError(ProtoserveError):
    """The project was not created."""
