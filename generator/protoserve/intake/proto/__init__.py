"""A .proto that somebody else wrote, taken over as a schema: see `intake.proto.convert.from_proto`."""
