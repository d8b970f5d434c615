"""`protoserve fleet update`: brings many projects to another version of their template, each on a branch of its own.

What a run has done is in git: a branch of the project's mirror, whose commit says in its trailers what it was made
from (`branches`). It is written last, when everything in it is complete, so a run can be killed at any moment, and the
next one continues. Nothing of a project runs, except its own `make` with --check.
"""
