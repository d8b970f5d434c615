"""`protoserve status`: how a project compares to its template, its answers and its schema. Writes nothing into it."""
