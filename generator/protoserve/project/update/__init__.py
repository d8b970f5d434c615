"""`protoserve update`: brings a project to another version of its template, completely or not at all.

Copier merges in a scratch copy of what the project has committed (`scratch`, `merge`). The result is described
(`outcome`, `summary`), and only then written into the project (`apply`).
"""
