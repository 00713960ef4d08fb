"""The sequencer: queued entries get indices (T4), tiles and a signed checkpoint (T5), and are paid for (T6).

Order that keeps the log on one history, whatever stops in between: indices are committed; then tiles are
written, whose bytes follow from the indices; then the checkpoint is signed and committed under the leader's
epoch; then it is shown. Before its first signature under an epoch the sequencer compares what the database
recorded with what the files show (`recovery.py`), and refuses rather than sign a second history.
"""

from collections.abc import Sequence
from typing import Final

from hivemark.coordinator.loops.recovery import recover
from hivemark.coordinator.ports import LogRow, LogStore, TileStore
from hivemark.translog.append import RightEdge, plan_append
from hivemark.translog.checkpoint import Checkpoint, sign_checkpoint
from hivemark.translog.note import NoteSigner
from hivemark.translog.tiles import CHECKPOINT_PATH

BATCH_ENTRIES_MAX: Final = 4_096
LEASE_MS: Final = 5_000


class Sequencer:
    """One candidate for the lead; `step` it a few times a second.

    `holder` must be unique to this run of the process: leadership under a name is renewed, not fenced.
    """

    def __init__(
        self,
        log: LogStore,
        tiles: TileStore,
        signer: NoteSigner,
        *,
        holder: str,
        lease_ms: int = LEASE_MS,
        batch_entries_max: int = BATCH_ENTRIES_MAX,
    ) -> None:
        self._log = log
        self._tiles = tiles
        self._signer = signer
        self._holder = holder
        self._lease_ms = lease_ms
        self._batch_entries_max = batch_entries_max
        self._epoch: int | None = None
        self._renew_ms = 0
        self._edge: RightEdge | None = None  # None: compare before signing anything
        self._assigned_size = 0

    @property
    def leads(self) -> bool:
        """Whether the last step had the lead and knew the log's edge."""
        return self._edge is not None

    def step(self, now_ms: int) -> int:
        """Integrate at most one batch; answers entries integrated and released, 0 when there was nothing.

        Raises `LogRefused` when database and files are not one history, `UnavailableError` when either did
        not answer, `StateMoved` when another has taken the lead. After any error the next step compares
        again.
        """
        edge, self._edge = self._edge, None
        epoch = self._lead(now_ms, leads=edge is not None)
        if epoch is None:
            return 0
        if edge is None or epoch != self._epoch:
            edge, self._assigned_size = recover(self._log, self._tiles, self._signer.verifier, epoch=epoch)
            self._epoch = epoch
        batch = self._next_batch(edge, epoch)
        if batch:
            edge = self._integrate(edge, batch, epoch)
        released = self._log.release(covered_size=edge.size, now_ms=now_ms, limit=self._batch_entries_max)
        self._edge = edge
        return len(batch) + released

    def _lead(self, now_ms: int, *, leads: bool) -> int | None:
        """The epoch; asked for anew only in the second half of the lease, since every write checks it."""
        if leads and now_ms < self._renew_ms:
            return self._epoch
        epoch = self._log.lead(holder=self._holder, now_ms=now_ms, lease_ms=self._lease_ms)
        self._renew_ms = now_ms + self._lease_ms // 2
        return epoch

    def _next_batch(self, edge: RightEdge, epoch: int) -> Sequence[LogRow]:
        """The rows that follow the edge: assigned before and not yet integrated, or assigned now (T4)."""
        if self._assigned_size > edge.size:
            end = min(self._assigned_size, edge.size + self._batch_entries_max)
            return self._log.log_rows(start=edge.size, end=end)
        assigned = self._log.assign(epoch=epoch, limit=self._batch_entries_max)
        self._assigned_size += len(assigned)
        return assigned

    def _integrate(self, edge: RightEdge, rows: Sequence[LogRow], epoch: int) -> RightEdge:
        """T5: tiles, then the checkpoint in the database, then the checkpoint for readers."""
        assert [row.index for row in rows] == list(range(edge.size, edge.size + len(rows))), (
            "indices in order"
        )
        plan = plan_append(edge, [row.leaf for row in rows])
        for file in plan.files:
            self._tiles.write(file.path, file.content)
        checkpoint = sign_checkpoint(Checkpoint(self._signer.name, plan.size, plan.root), self._signer)
        self._log.publish(epoch=epoch, size=plan.size, root=plan.root, checkpoint=checkpoint.decode())
        self._tiles.write(CHECKPOINT_PATH, checkpoint)
        return plan.edge
