"""What the chosen platforms want besides gRPC: a module each with an `Adapter`, and what adapters share."""
