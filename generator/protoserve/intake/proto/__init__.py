"""A .proto that somebody else wrote, taken over as a schema: see `schema.from_proto`."""
