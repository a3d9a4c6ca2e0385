"""The load: connections that are kept, the next request as soon as the last answer is whole.

A plain epoll loop and not asyncio, because PostgreSQL and Redis share the core of whoever makes the load.
"""

from __future__ import annotations

import gc
import re
import select
import socket
import time
from collections.abc import Sequence
from dataclasses import dataclass, field

from bench.account import HOST
from bench.making import Request

PATIENCE = 10.0  # seconds until an answer that does not come makes the run void

_LENGTH = re.compile(rb"\r\ncontent-length:[ \t]*([0-9]+)", re.IGNORECASE)
_CLOSE = re.compile(rb"\r\nconnection:[ \t]*close", re.IGNORECASE)


class NoAnswer(Exception):
    """A connection broke, or an answer did not come or was no HTTP."""


@dataclass(slots=True)
class Load:
    """What came of a round: `seconds` from the first request to the last answer, latencies in seconds."""

    seconds: float = 0.0
    sent: int = 0
    answers: list[tuple[int, bytes]] = field(default_factory=list)  # (status, body)
    latencies: list[float] = field(default_factory=list)

    def at(self, share: float) -> float:
        """The latency that `share` of the answers stayed under, in milliseconds."""
        ordered = sorted(self.latencies)
        return ordered[min(len(ordered) - 1, int(share * len(ordered)))] * 1000 if ordered else 0.0


class _Line:
    """One connection and the answer that is on its way."""

    __slots__ = ("began", "busy", "got", "port", "socket")

    def __init__(self, port: int) -> None:
        self.port = port
        self.busy = False
        self.began = 0.0
        self.got = b""
        self.open()

    def open(self) -> None:
        self.socket = socket.create_connection((HOST, self.port), timeout=PATIENCE)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.socket.setblocking(False)

    def ask(self, raw: bytes) -> None:
        self.got = b""
        self.busy = True
        self.began = time.perf_counter()
        if self.socket.send(raw) != len(raw):
            raise NoAnswer("a request did not fit into the socket's buffer")

    def take(self) -> tuple[int, bytes, bool] | None:
        """(status, body, whether the connection stays) once the answer is whole."""
        try:
            more = self.socket.recv(65536)
        except BlockingIOError:
            return None
        except ConnectionError as broken:
            raise NoAnswer(str(broken)) from None
        self.got += more
        end = self.got.find(b"\r\n\r\n")
        if end < 0:
            if not more:
                raise NoAnswer("the server closed the connection without an answer")
            return None
        head = self.got[:end]
        if not head.startswith(b"HTTP/1."):
            raise NoAnswer(f"no HTTP: {head[:40]!r}")
        length = _LENGTH.search(head)
        body = self.got[end + 4 :]
        if length is None:
            if more:
                return None
        elif len(body) < int(length[1]):
            if not more:
                raise NoAnswer("the server closed the connection in the middle of an answer")
            return None
        stays = length is not None and head.startswith(b"HTTP/1.1") and not _CLOSE.search(head)
        return int(head[9:12]), body, stays


def drive(port: int, requests: Sequence[Request], seconds: float, connections: int) -> Load:
    """Ask for `seconds`, or until there are no more requests; whatever was asked is waited for. Raises NoAnswer."""
    done = Load()
    answers, latencies = done.answers, done.latencies
    raw = [request.raw for request in requests]
    poll = select.epoll()
    lines: dict[int, _Line] = {}
    asked = 0
    gc_was_on = gc.isenabled()
    gc.disable()  # a collection over all requests would be timed as the server's
    try:
        for _ in range(min(connections, len(raw))):
            line = _Line(port)
            lines[line.socket.fileno()] = line
            poll.register(line.socket, select.EPOLLIN)
        start = time.perf_counter()
        end = start + seconds
        for line in lines.values():
            line.ask(raw[asked])
            asked += 1
        waiting = asked
        while waiting:
            ready = poll.poll(PATIENCE)
            if not ready:
                raise NoAnswer(f"no answer within {PATIENCE:.0f} s")
            for number, _ in ready:
                line = lines[number]
                if not line.busy:
                    continue
                whole = line.take()
                if whole is None:
                    continue
                now = time.perf_counter()
                latencies.append(now - line.began)
                answers.append(whole[:2])
                line.busy = False
                waiting -= 1
                go_on = now < end and asked < len(raw)
                if not whole[2] or not go_on:  # not kept, or no longer needed
                    poll.unregister(number)
                    line.socket.close()
                    del lines[number]
                    if go_on:
                        line.open()
                        lines[line.socket.fileno()] = line
                        poll.register(line.socket, select.EPOLLIN)
                if go_on:
                    line.ask(raw[asked])
                    asked += 1
                    waiting += 1
        done.seconds = time.perf_counter() - start
        done.sent = asked
    except OSError as broken:
        raise NoAnswer(str(broken)) from None
    finally:
        if gc_was_on:
            gc.enable()
        for line in lines.values():
            line.socket.close()
        poll.close()
    return done


def ask(port: int, request: Request) -> tuple[int, bytes]:
    """One request on a connection of its own; (status, body). Raises NoAnswer."""
    return drive(port, [request], 1.0, 1).answers[0]
