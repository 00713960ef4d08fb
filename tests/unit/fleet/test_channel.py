"""The link's channel: numbering, acknowledgement and every way to break it."""

import pytest

from hivemark.fleet.channel import (
    ACK_DUE_AFTER,
    UNACKNOWLEDGED_MAX,
    Channel,
    ChannelBroken,
    ChannelFull,
    Delivery,
)


def test_frames_are_numbered_from_one_and_acknowledge_what_came() -> None:
    channel = Channel(epoch=4)
    assert channel.send() == (1, 0)
    assert channel.receive(4, 1, 1) is Delivery.FRESH
    assert channel.receive(4, 2, 1) is Delivery.FRESH
    assert channel.send() == (2, 2)
    assert channel.unacknowledged == 1


def test_a_repeated_frame_is_told_apart() -> None:
    channel = Channel(epoch=1)
    assert channel.receive(1, 1, 0) is Delivery.FRESH
    assert channel.receive(1, 1, 0) is Delivery.REPEATED
    assert channel.receive(1, 2, 0) is Delivery.FRESH


def test_an_old_acknowledgement_takes_nothing_back() -> None:
    channel = Channel(epoch=1)
    channel.send(), channel.send()
    channel.receive(1, 1, 2)
    channel.receive(1, 2, 0)
    assert channel.unacknowledged == 0


@pytest.mark.parametrize(
    ("epoch", "seq", "ack", "code"),
    [
        (6, 1, 0, "epoch_stale"),
        (8, 1, 0, "epoch_stale"),
        (7, 2, 0, "frame_missing"),
        (7, 0, 0, "frame_missing"),
        (7, -1, 0, "frame_missing"),
        (7, 1, 2, "ack_impossible"),
        (7, 1, -1, "ack_impossible"),
    ],
)
def test_ends_that_disagree_break_the_channel_for_good(epoch: int, seq: int, ack: int, code: str) -> None:
    channel = Channel(epoch=7)
    channel.send()
    with pytest.raises(ChannelBroken) as broken:
        channel.receive(epoch, seq, ack)
    assert broken.value.code == code
    with pytest.raises(ChannelBroken):
        channel.receive(7, 1, 0)
    with pytest.raises(ChannelBroken):
        channel.send()


def test_the_window_of_unacknowledged_frames_is_limited() -> None:
    channel = Channel(epoch=1)
    for _ in range(UNACKNOWLEDGED_MAX):
        channel.send()
    with pytest.raises(ChannelFull):
        channel.send()
    channel.receive(1, 1, 1)
    assert channel.send() == (UNACKNOWLEDGED_MAX + 1, 1)


def test_a_silent_end_learns_when_an_acknowledgement_is_due() -> None:
    channel = Channel(epoch=1)
    for seq in range(1, ACK_DUE_AFTER + 1):
        assert not channel.ack_due
        channel.receive(1, seq, 0)
    assert channel.ack_due
    channel.send()
    assert not channel.ack_due
    assert ACK_DUE_AFTER < UNACKNOWLEDGED_MAX
