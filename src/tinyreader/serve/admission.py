"""How many requests are taken at a time, and of what size together: memory has a bound, whatever comes."""

from __future__ import annotations

from tinyreader.serve.problems import Problem


class Admission:
    """The requests that are inside. For one thread: the event loop's."""

    def __init__(self, max_requests: int, max_bytes: int) -> None:
        self.max_requests, self.max_bytes = max_requests, max_bytes
        self.requests = self.bytes = 0

    def enter(self) -> Entry:
        """A place for a request; raises `Problem` where there is none."""
        if self.requests >= self.max_requests:
            raise Problem(
                "full",
                f"It is at work on {self.requests} requests. Ask again shortly.",
                limit=self.max_requests,
                retry_after_s=1,
            )
        self.requests += 1
        return Entry(self)


class Entry:
    """A request's place: it counts until all who hold it have left."""

    def __init__(self, admission: Admission) -> None:
        self._admission, self._bytes, self._holders = admission, 0, 1

    def grow(self, n: int) -> None:
        """Takes in so many bytes more; raises `Problem` where all requests together would be too large."""
        inside = self._admission
        if inside.bytes + n > inside.max_bytes:
            raise Problem(
                "full",
                "The requests it is at work on are as large as it takes. Ask again shortly.",
                limit=inside.max_bytes,
                retry_after_s=1,
            )
        inside.bytes += n
        self._bytes += n

    def hold(self) -> None:
        """One more has to leave."""
        self._holders += 1

    def leave(self) -> None:
        """One has left."""
        self._holders -= 1
        if self._holders == 0:
            self._admission.requests -= 1
            self._admission.bytes -= self._bytes
