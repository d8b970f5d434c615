"""`protoserve status`: how a project stands to its template, its answers and its schema. Writes nothing into it."""
