"""TRANSPORT=native: HTTP/2 and gRPC in Rust, by the package pygrpc-native, outside of Python's interpreter lock."""
