"""Requests a second of servers that run side by side, in turns, with every reply checked."""

from __future__ import annotations

import statistics
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import h2load
from peer_catalog import ROW, Protocol
from peer_check import KnownRows, Sampling, WrongReply
from process_tree import cpu_seconds
from running import Server

FIRST_CHECKS, WARM_UP_REQUESTS = 100, 200
# Batches of another size may change the last digits of a number, and so its length in JSON.
JSON_SIZE_TOLERANCE = 0.1


@dataclass
class Contender:
    """A running server that is asked in one protocol, and what was measured of it for each number in flight."""

    name: str
    server: Server
    protocol: Protocol
    rates: dict[int, list[float]] = field(default_factory=dict)
    cpu_microseconds: dict[int, list[float]] = field(default_factory=dict)
    checked: int = 0
    # The reason why it has no figures.
    problem: str = ""
    _reply_bytes: float = 0

    @property
    def port(self) -> int:
        """Where it listens for its protocol."""
        return self.server.ports[self.protocol.name]

    def prepare(self, known: KnownRows, in_flight: Sequence[int]) -> None:
        """Checks a reply to each known row, learns the size of a reply, and warms up."""
        client = self.protocol.connect(self.port)
        try:
            for number in range(FIRST_CHECKS):
                known.check_one(client, number)
        finally:
            client.close()
        first = h2load.run(self.protocol, self.port, ROW, 1, 1)
        self._reply_bytes = first.reply_bytes
        for count in in_flight:
            self.rates[count] = [self._load(WARM_UP_REQUESTS, count).rate]

    def take_turn(self, known: KnownRows, in_flight: int, seconds: float) -> None:
        """Measures once, for about this time; raises WrongReply if a single reply is wrong."""
        rates = self.rates[in_flight]
        requests = max(2 * in_flight, round(statistics.median(rates[-3:]) * seconds))
        client = self.protocol.connect(self.port)
        cpu_before = cpu_seconds(self.server.pid)
        try:
            if in_flight == 1:  # a second caller would make it two
                known.check_one(client, len(rates))
                load = self._load(requests, in_flight)
            else:
                with Sampling(known, client) as sampling:
                    load = self._load(requests, in_flight)
                if sampling.problem:
                    raise sampling.problem
                self.checked += sampling.checked
        finally:
            client.close()
        rates.append(load.rate)
        cpu = (cpu_seconds(self.server.pid) - cpu_before) / requests * 1e6
        self.cpu_microseconds.setdefault(in_flight, []).append(cpu)
        self.checked += requests

    def _load(self, requests: int, in_flight: int) -> h2load.Load:
        load = h2load.run(self.protocol, self.port, ROW, requests, in_flight)
        wanted = self._reply_bytes * requests
        tolerance = 0 if self.protocol.name == "grpc" else JSON_SIZE_TOLERANCE * wanted
        if load.succeeded != requests or abs(load.reply_bytes - wanted) > tolerance:
            raise WrongReply(f"{load.reply_bytes} bytes instead of {wanted:.0f}; {load.summary}")
        return load


def measure(
    contenders: Sequence[Contender], known: KnownRows, in_flight: Sequence[int], rounds: int, seconds: float
) -> None:
    """Fills in the rates; a server that answers wrongly, or not at all, gets a problem instead."""

    def attempt(contender: Contender, step: str, *arguments: object) -> None:
        if contender.problem:
            return
        try:
            getattr(contender, step)(known, *arguments)
        except Exception as error:  # whatever a server or a client does
            contender.problem = f"{type(error).__name__}: {error}"[:500]
            print(f"{contender.name}: {contender.problem}", file=sys.stderr)

    for contender in contenders:
        attempt(contender, "prepare", in_flight)
    for round_number in range(rounds):
        order = contenders if round_number % 2 else contenders[::-1]
        for count in in_flight:
            for contender in order:
                attempt(contender, "take_turn", count, seconds)
    for contender in contenders:  # the first was that of the warm-up
        contender.rates = {count: rates[1:] for count, rates in contender.rates.items()}


def summary(contender: Contender, base: Contender) -> dict[str, Mapping[str, float]]:
    """For each number in flight: medians of the rates, of the ratios within the rounds, and the least CPU time."""
    return {
        str(count): {
            "rate": statistics.median(rates),
            "ratio": statistics.median(ours / theirs for ours, theirs in zip(rates, base.rates[count], strict=True)),
            "cpu_microseconds": min(contender.cpu_microseconds[count]),
        }
        for count, rates in contender.rates.items()
    }
