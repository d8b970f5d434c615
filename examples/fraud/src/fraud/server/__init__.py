"""The gRPC server around the model: `python -m` this package serves, `.healthcheck` asks a running server."""
