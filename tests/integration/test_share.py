"""Several daemons that split one plant's topics between them by a shared subscription."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable

import pytest
from brokers import Mosquitto
from clients import Sensors, Watcher
from daemons import Site, configuration, pipeline

COUNT = 200
SHARED = pipeline(source='fields = ["a", "b"]\nshare = "line-1"')


@pytest.mark.parametrize("away", [False, True], ids=["all there", "one away meanwhile"])
def test_each_reading_goes_to_one_daemon(mosquitto: Callable[..., Mosquitto], site: Site, away: bool) -> None:
    """Both work and none does twice what the other did; what falls to one that is away waits for it."""
    broker = mosquitto()
    configs = []
    for name in ("gateway-1", "gateway-2"):
        text = configuration(f"mqtt://127.0.0.1:{broker.port}", [SHARED]).replace("gateway", name, 1)
        configs.append(site.folder / f"{name}.toml")
        configs[-1].write_text(text.replace("[health]", f'[state]\nfolder = "{name}"\n\n[health]'))
    with Watcher(broker.port) as watcher, Sensors(broker.port) as sensors:
        daemons = [site.start(config) for config in configs]
        watcher.wait_for(lambda: Counter(state for state, _ in watcher.states)["online"] == 2)
        if away:
            daemons[1].kill()
            watcher.wait_for(lambda: watcher.states[-1][0] == "offline")
        topics = [f"sensors/pump-{number}/reading" for number in range(COUNT)]
        for number, topic in enumerate(topics):
            sensors.send_numbers(topic, a=number, b=0)
        if away:
            site.start(configs[1])
        predictions = watcher.wait_for_predictions(COUNT)
    assert sorted(one["value"] for one in predictions) == list(range(COUNT))
    assert set(Counter(one["boot"] for one in predictions).values()) == {COUNT // 2}
