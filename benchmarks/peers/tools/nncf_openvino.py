"""NNCF's file in the engine that it is made for."""

from __future__ import annotations

from benchmarks.peers.tools import nncf

ABOUT = f"{nncf.ABOUT}; the file runs in OpenVINO"
DISTRIBUTION = nncf.DISTRIBUTION
REQUIREMENTS = nncf.REQUIREMENTS
ENVIRONMENT = "nncf"
ENGINE = "openvino"

quantize = nncf.quantize
