"""`protoserve update`: a project brought to another version of its template, whole or not at all.

Copier merges in a scratch copy of what the project has committed (`scratch`, `merge`); what came of it is told
(`outcome`, `output`), and only then written into the project (`apply`).
"""
