"""protoserve: gRPC model servers that a serving platform accepts the first time."""
