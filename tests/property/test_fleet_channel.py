"""Whatever the network does to the frames, the channel delivers a prefix of what was sent, once, in order."""

from hypothesis import given
from hypothesis import strategies as st

from hivemark.fleet.channel import Channel, ChannelBroken, Delivery

SCHEDULES = st.lists(
    st.sampled_from(["send", "deliver", "drop", "repeat", "swap", "answer", "reconnect"]), max_size=120
)


@given(SCHEDULES)
def test_no_schedule_delivers_twice_or_out_of_order(schedule: list[str]) -> None:
    epoch = 1
    sender, receiver = Channel(epoch), Channel(epoch)
    wire: list[tuple[int, int, int, str]] = []
    sent: list[str] = []
    delivered: list[str] = []
    for number, action in enumerate(schedule):
        if action == "send":
            seq, ack = sender.send()
            sent.append(f"{epoch}:{number}")
            wire.append((epoch, seq, ack, sent[-1]))
        elif action == "repeat" and wire:
            wire.append(wire[0])
        elif action == "drop" and wire:
            wire.pop(0)
        elif action == "swap" and len(wire) > 1:
            wire[0], wire[1] = wire[1], wire[0]
        elif action == "answer":
            try:
                seq, ack = receiver.send()
            except ChannelBroken:
                continue
            assert sender.receive(epoch, seq, ack) is Delivery.FRESH
        elif action == "reconnect":  # frames of the old connection may still arrive
            epoch += 1
            sender, receiver = Channel(epoch), Channel(epoch)
        elif action == "deliver" and wire:
            frame_epoch, seq, ack, body = wire.pop(0)
            try:
                if receiver.receive(frame_epoch, seq, ack) is Delivery.FRESH:
                    delivered.append(body)
            except ChannelBroken:
                continue
    assert len(set(delivered)) == len(delivered)
    for each in range(1, epoch + 1):
        mark = f"{each}:"
        whole = [body for body in sent if body.startswith(mark)]
        came = [body for body in delivered if body.startswith(mark)]
        assert came == whole[: len(came)]


@given(st.lists(st.booleans(), max_size=200))
def test_a_clean_connection_never_breaks(turns: list[bool]) -> None:
    ends = Channel(9), Channel(9)
    for turn in turns:
        speaker, listener = ends if turn else ends[::-1]
        seq, ack = speaker.send()
        assert listener.receive(9, seq, ack) is Delivery.FRESH
    assert sum(end.unacknowledged for end in ends) <= len(turns)
