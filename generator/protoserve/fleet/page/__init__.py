"""The report of a fleet as one page of HTML, which needs no server and requests nothing."""

from protoserve.fleet.page.html import render

__all__ = ["render"]
