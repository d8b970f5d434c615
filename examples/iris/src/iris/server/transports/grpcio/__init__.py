"""TRANSPORT=grpcio: gRPC's own server for asyncio, on the event loop."""
