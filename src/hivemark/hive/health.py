"""`GET /health` and `/metrics` of one hive on loopback; asking starts no work."""

import msgspec
from aiohttp import web

from hivemark.hive.agent import Agent


async def serve_health(agent: Agent, port: int) -> tuple[web.AppRunner, int]:
    """Listen on 127.0.0.1; the port that was taken (0: the system chooses)."""
    app = web.Application()

    async def health(_: web.Request) -> web.Response:
        value = describe(agent)
        status = 200 if value["status"] == "ok" else 503
        return web.Response(body=msgspec.json.encode(value), content_type="application/json", status=status)

    async def metrics(_: web.Request) -> web.Response:
        return web.Response(text=metric_lines(agent), content_type="text/plain")

    app.add_routes([web.get("/health", health), web.get("/metrics", metrics)])
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", port)
    await site.start()
    return runner, int(runner.addresses[0][1])


def describe(agent: Agent) -> dict[str, object]:
    """What the agent knows of itself; `degraded` names its reasons under `workers` and `engines`."""
    workers = [
        {
            "model": engine.name,
            "loaded": engine.loaded,
            "busy": engine.busy,
            "withdrawn": engine.withdrawn,
            "reason": engine.reason,
            "pid": engine.pid,
        }
        for engine in agent.stable.workers
    ]
    engines = [
        {"name": server.name, "models": len(server.engines), "reason": server.reason}
        for server in agent.stable.servers
    ]
    core = agent.core
    unwell = not core.linked or any(w["withdrawn"] for w in workers) or any(e["reason"] for e in engines)
    return {
        "status": "degraded" if unwell else "ok",
        "linked": core.linked,
        "epoch": core.epoch,
        "draining": core.draining,
        "running": len(core.running),
        "results_waiting": core.results_waiting,
        "workers": workers,
        "engines": engines,
    }


def metric_lines(agent: Agent) -> str:
    """Prometheus text."""
    core = agent.core
    gauges = {
        "hivemark_hive_linked": int(core.linked),
        "hivemark_hive_attempts_running": len(core.running),
        "hivemark_hive_results_waiting": core.results_waiting,
        "hivemark_hive_workers_loaded": sum(engine.loaded for engine in agent.stable.workers),
        "hivemark_hive_models_withdrawn": sum(engine.withdrawn for engine in agent.stable.workers),
    }
    return "".join(f"# TYPE {name} gauge\n{name} {value}\n" for name, value in gauges.items())
