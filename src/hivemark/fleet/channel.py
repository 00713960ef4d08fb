"""The link's channel: numbering and acknowledgement of the frames of one connection, without any I/O.

Both ends keep one `Channel` per connection (docs/spec/link.md). TCP keeps frames in order, so nothing is
sent twice within a connection: a gap, a foreign epoch or an impossible acknowledgement means that the two
ends disagree. The owner then closes the connection, and what matters is settled by `Reconcile` on the next.
"""

from enum import StrEnum
from typing import Final

from hivemark.errors import ConflictError, OverLimitError

UNACKNOWLEDGED_MAX: Final = 1_024
ACK_DUE_AFTER: Final = 256
"""Received frames after which an end that has nothing to say should say something anyway."""


class Delivery(StrEnum):
    """Whether a received frame is new; a repeated one is ignored."""

    FRESH = "fresh"
    REPEATED = "repeated"


class ChannelBroken(ConflictError):
    """The two ends of the link disagree; close it and connect again."""


class ChannelFull(OverLimitError):
    """The other end acknowledges nothing; close the link and connect again."""


class Channel:
    """One end of one connection. Sequence numbers start at 1; 0 acknowledges nothing."""

    __slots__ = ("_acknowledged", "_broken", "_epoch", "_received", "_sent", "_told")

    def __init__(self, epoch: int) -> None:
        self._epoch = epoch
        self._sent = 0
        self._acknowledged = 0  # of what was sent
        self._received = 0
        self._told = 0  # the acknowledgement last sent
        self._broken: str | None = None

    @property
    def epoch(self) -> int:
        return self._epoch

    @property
    def unacknowledged(self) -> int:
        """Frames sent that the other end has not confirmed."""
        return self._sent - self._acknowledged

    @property
    def ack_due(self) -> bool:
        """The other end has heard nothing for so long that its window may fill up."""
        return self._received - self._told >= ACK_DUE_AFTER

    def send(self) -> tuple[int, int]:
        """`(seq, ack)` of the next frame. Raises `ChannelFull`, and `ChannelBroken` once broken."""
        self._require_whole()
        if self.unacknowledged >= UNACKNOWLEDGED_MAX:
            message = f"{self.unacknowledged} frames are unacknowledged"
            raise ChannelFull(message, code="channel_full")
        self._sent += 1
        self._told = self._received
        return self._sent, self._received

    def receive(self, epoch: int, seq: int, ack: int) -> Delivery:
        """Account for a received frame. Raises `ChannelBroken`, and from then on always."""
        self._require_whole()
        if epoch != self._epoch:
            age = "older" if epoch < self._epoch else "later"
            raise self._break("epoch_stale", f"a frame of the {age} epoch {epoch} in epoch {self._epoch}")
        if not 0 <= ack <= self._sent:
            raise self._break("ack_impossible", f"frame {ack} is acknowledged, {self._sent} were sent")
        if not 1 <= seq <= self._received + 1:
            raise self._break("frame_missing", f"frame {seq} came after frame {self._received}")
        self._acknowledged = max(self._acknowledged, ack)
        if seq <= self._received:
            return Delivery.REPEATED
        self._received = seq
        return Delivery.FRESH

    def _break(self, code: str, message: str) -> ChannelBroken:
        self._broken = message
        return ChannelBroken(message, code=code)

    def _require_whole(self) -> None:
        if self._broken is not None:
            raise ChannelBroken(self._broken, code="channel_broken")
