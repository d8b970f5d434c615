"""How long connections live, how many calls they have, and how often their ends ask each other whether they are there.

https://grpc.io/docs/guides/keepalive/
"""

from ...core.connections import SPARE_STREAMS
from ...settings import Settings

# gRPC takes more than two pings within five minutes, or within two hours without calls, for an attack, and closes the
# connection with `too_many_pings`. Clients, meshes and balancers are often set to one every 10 seconds.
MIN_PING_MILLISECONDS = 500
# Calls of a method that may wait to be taken. gRPC cancels further ones at random, and beyond twice as many all of
# them. With its default of 1,000, one client that resets its streams and connects again has calls of others cancelled.
WAITING_CALLS = 5000


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
        ("grpc.server.max_pending_requests", WAITING_CALLS),
        ("grpc.server.max_pending_requests_hard_limit", 2 * WAITING_CALLS),
        ("grpc.max_concurrent_streams", settings.max_in_flight + SPARE_STREAMS),
        ("grpc.http2.min_ping_interval_without_data_ms", MIN_PING_MILLISECONDS),
        *((name, round(value * 1000)) for name, value in seconds.items() if value is not None),
    ]
