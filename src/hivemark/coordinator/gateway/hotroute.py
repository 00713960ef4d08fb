"""A plain route that the request log can name."""

from starlette.routing import Match, Route
from starlette.types import Scope


class HotRoute(Route):
    """Stands in the scope as FastAPI's routes do, so that durations are counted by template."""

    def matches(self, scope: Scope) -> tuple[Match, Scope]:
        """As `Route.matches`."""
        match, child = super().matches(scope)
        if match is not Match.NONE:
            child["route"] = self
        return match, child
