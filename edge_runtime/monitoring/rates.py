"""How fast a count has grown of late, without a cost where it is counted."""

from __future__ import annotations

from collections import deque

_WINDOW_SECONDS = 60.0
_SPACING_SECONDS = 1.0  # looks closer together are one, so that memory stays the same


class RecentGrowth:
    """Growth of a count over the last minute; over the time since the previous look where nobody looked so long.

    Args:
        now: When the count was 0, monotonic seconds.
    """

    def __init__(self, now: float) -> None:
        self._looks: deque[tuple[float, int]] = deque([(now, 0)])

    def look(self, now: float, total: int) -> tuple[int, float | None]:
        """Return by how much the count has grown and how much that is a second, None in the first second.

        Args:
            now: Monotonic seconds.
            total: The count.
        """
        while len(self._looks) > 1 and self._looks[1][0] <= now - _WINDOW_SECONDS:
            self._looks.popleft()
        since, before = self._looks[0]
        if now - self._looks[-1][0] >= _SPACING_SECONDS:
            self._looks.append((now, total))
        grown, elapsed = total - before, now - since
        return grown, round(grown / elapsed, 3) if elapsed >= _SPACING_SECONDS else None
