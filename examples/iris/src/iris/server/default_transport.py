"""The transport if TRANSPORT is not set."""

DEFAULT_TRANSPORT = "grpcio"
