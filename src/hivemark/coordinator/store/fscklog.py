"""The log's part of `hivemark fsck`: checkpoint, tiles, entry bundles and rows against each other."""

import time
from collections.abc import Iterator
from itertools import islice
from typing import Final

from hivemark.coordinator.ports import LogState, LogStore, TileStore
from hivemark.coordinator.store.fsck import Progress, no_progress
from hivemark.errors import InvalidError, UnverifiedError
from hivemark.translog.append import RightEdge, TileFile, plan_append
from hivemark.translog.checkpoint import Checkpoint, verify_checkpoint
from hivemark.translog.note import VerifierKey
from hivemark.translog.tiles import CHECKPOINT_PATH, TILE_WIDTH, parse_tile_path

CHUNK_ENTRIES: Final = 16 * TILE_WIDTH
_LOOKS_MAX: Final = 5
_LOOK_AGAIN_S: Final = 0.1

PROBLEMS_MAX: Final = 100
"""A log that is damaged all over is described by its first problems."""


def check_log(
    log: LogStore, tiles: TileStore, key: VerifierKey, *, progress: Progress = no_progress
) -> list[str]:
    """Replay the log from the database's rows: every complete tile and bundle, the right edge and the root
    must be what the files hold and what the checkpoint signs. One line per problem, at most 100."""
    return list(islice(_problems(log, tiles, key, progress), PROBLEMS_MAX))


def _problems(log: LogStore, tiles: TileStore, key: VerifierKey, progress: Progress) -> Iterator[str]:
    state, shown = _at_rest(log, tiles)
    recorded = state.published_checkpoint
    if shown is None:
        if recorded is not None:
            yield "log: the database knows a checkpoint, the folder has none"
        return
    if shown.decode(errors="replace") != recorded:
        yield "log: the checkpoint in the folder is not the one in the database"
    try:
        checkpoint = verify_checkpoint(shown, key)
    except (InvalidError, UnverifiedError) as error:
        yield f"log: the checkpoint does not hold: {error}"
        return
    if checkpoint.size > state.size:
        yield f"log: {checkpoint.size} entries are signed, the database has {state.size}"
        return
    yield from _replay(log, tiles, checkpoint, progress)


def _at_rest(log: LogStore, tiles: TileStore) -> tuple[LogState, bytes | None]:
    """Beside a running sequencer the file follows the database by a moment; wait for that moment."""
    for _ in range(_LOOKS_MAX):
        shown, state = tiles.read(CHECKPOINT_PATH), log.log_state()
        if (shown or b"").decode(errors="replace") == (state.published_checkpoint or ""):
            break
        time.sleep(_LOOK_AGAIN_S)
    return state, shown


def _replay(log: LogStore, tiles: TileStore, checkpoint: Checkpoint, progress: Progress) -> Iterator[str]:
    edge = RightEdge()
    while edge.size < checkpoint.size:
        progress("log", edge.size, checkpoint.size)
        end = min(checkpoint.size, edge.size + CHUNK_ENTRIES)
        rows = log.log_rows(start=edge.size, end=end)
        if [row.index for row in rows] != list(range(edge.size, end)):
            yield f"log: the database lacks rows between {edge.size} and {end}"
            return
        plan = plan_append(edge, [row.leaf for row in rows])
        edge = plan.edge
        for file in plan.files:
            yield from _differs(tiles, file, is_edge=edge.size == checkpoint.size)
    progress("log", checkpoint.size, checkpoint.size)
    if edge.root != checkpoint.root:
        yield f"log: its {checkpoint.size} entries do not lead to the signed root"


def _differs(tiles: TileStore, file: TileFile, *, is_edge: bool) -> Iterator[str]:
    """Partial files are only due at the edge: those of smaller trees may be gone."""
    is_partial = parse_tile_path(file.path).width < TILE_WIDTH
    if is_partial and not is_edge:
        return
    stored = tiles.read(file.path)
    if stored is None:
        yield f"log: {file.path} is missing"
    elif stored != file.content:
        yield f"log: {file.path} differs from the database's entries"
