"""One package, several variants: the daemon serves the one that is right on this machine, and says so over MQTT."""

from __future__ import annotations

import sum_package
from brokers import Broker, free_port
from clients import Sensors, Watcher
from daemons import Site, pipeline, run_verb

from edge_runtime.package.manifest import Needs

FOREIGN, HERE = Needs(isa=("riscv64",)), Needs()


def test_the_one_that_is_right_here_serves(broker: Broker, watcher: Watcher, sensors: Sensors, site: Site) -> None:
    """Of a foreign variant, one that computes something else here and a good one, the third predicts."""
    package = site.folder / "sum.edgepkg"
    sum_package.write_variants(package, foreign=(FOREIGN, 0.0), wrong=(HERE, 1.0), good=(HERE, 0.0))
    daemon = site.start(site.configure(broker.port))
    watcher.wait_for_state("online")
    sensors.send_numbers("sensors/pump/reading", a=1, b=2)
    [prediction] = watcher.wait_for_predictions(1)
    assert (prediction["variant"], prediction["value"]) == ("good", 3.0)
    watcher.wait_for(lambda: bool(watcher.health))
    health = watcher.health["pipelines"]["sum"]
    assert health["variant"] == "good"
    assert health["variant_reason"] == "the first of 3 that can serve here"
    assert "riscv64" in health["variants_skipped"]["foreign"]
    assert "E-GOLDEN-MISMATCH" in health["variants_skipped"]["wrong"]
    assert (health["engine"], health["provider"]) == ("onnxruntime", "cpu")
    assert (health["nodes"], health["fallback"]) == (None, None)
    assert daemon.terminate() == 0
    assert "INFO sum does not serve foreign: it is for riscv64" in daemon.log
    assert "WARNING sum does not serve wrong: E-GOLDEN-MISMATCH" in daemon.log


def test_a_check_says_which_one_and_why(site: Site) -> None:
    """Before the daemon is started."""
    package = site.folder / "sum.edgepkg"
    sum_package.write_variants(package, foreign=(FOREIGN, 0.0), good=(HERE, 0.0))
    checked = run_verb("check", "--offline", site.configure(free_port()))
    assert checked.returncode == 0, checked.stdout
    assert "sum v1, good, 1 golden samples met" in checked.stdout
    assert "chosen: the first of 2 that can serve here" in checked.stdout
    assert "not foreign: it is for riscv64" in checked.stdout


def test_nothing_fits(site: Site) -> None:
    """The daemon does not start: each variant's reason, and the command that builds one for this machine."""
    package = site.folder / "sum.edgepkg"
    for error, status in ((0.0, 3), (1.0, 6)):
        needs = HERE if error else FOREIGN
        sum_package.write_variants(package, one=(FOREIGN, 0.0), other=(needs, error))
        ended = run_verb("run", site.configure(free_port()))
        assert ended.returncode == status, ended.stderr
        assert "error E-PACKAGE-NO-VARIANT:" in ended.stderr
        assert "one: it is for riscv64" in ended.stderr
        assert "edgeopt quantize MODEL --target" in ended.stderr
        assert "Traceback" not in ended.stderr


def test_a_provider_that_is_asked_for_is_not_replaced_in_silence(
    broker: Broker, watcher: Watcher, sensors: Sensors, site: Site
) -> None:
    """Without permission the daemon does not start; with it, every health message says what stands in."""
    package = site.folder / "sum.edgepkg"
    sum_package.write_variants(package, gpu=(HERE, 0.0))
    sum_package.move_to(package, "cuda")
    ended = run_verb("run", site.configure(broker.port, pipeline(model='providers = ["cuda"]')))
    assert ended.returncode == 5
    assert "error E-PROVIDER-MISSING:" in ended.stderr
    assert "onnxruntime-gpu" in ended.stderr
    allowed = 'providers = ["cuda"]\nfallback = "allowed"'
    daemon = site.start(site.configure(broker.port, pipeline(model=allowed)))
    watcher.wait_for_state("online")
    sensors.send_numbers("sensors/pump/reading", a=1, b=2)
    assert watcher.wait_for_predictions(1)[0]["value"] == 3.0
    watcher.wait_for(lambda: bool(watcher.health))
    health = watcher.health["pipelines"]["sum"]
    assert health["provider"] == "cpu"
    assert "on the processor: cuda" in health["fallback"]
    assert watcher.health["fallbacks"] == 1
    assert daemon.terminate() == 0
    assert "WARNING sum falls back" in daemon.log
