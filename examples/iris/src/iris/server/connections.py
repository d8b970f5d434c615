"""How long connections live, and how often their ends may ask each other whether they are there, as options of gRPC.

https://grpc.io/docs/guides/keepalive/
"""

from .settings import Settings

# gRPC takes more than two pings within five minutes, or within two hours without calls, for an attack, and closes the
# connection with `too_many_pings`. Clients, meshes and balancers are often set to one every 10 seconds.
MIN_PING_MILLISECONDS = 500


def connection_options(settings: Settings) -> list[tuple[str, int]]:
    """The options for a server. What is not set has gRPC's default, which is never."""
    seconds = {
        "grpc.keepalive_time_ms": settings.keepalive_seconds,
        "grpc.keepalive_timeout_ms": settings.keepalive_timeout_seconds,
        "grpc.http2.ping_timeout_ms": settings.keepalive_timeout_seconds,  # else a minute, if that is longer
        "grpc.max_connection_idle_ms": settings.max_connection_idle_seconds,
        "grpc.max_connection_age_ms": settings.max_connection_age_seconds,
        "grpc.max_connection_age_grace_ms": settings.max_connection_age_grace_seconds,
    }
    return [
        ("grpc.keepalive_permit_without_calls", 1),
        ("grpc.http2.min_ping_interval_without_data_ms", MIN_PING_MILLISECONDS),
        *((name, round(value * 1000)) for name, value in seconds.items() if value is not None),
    ]
