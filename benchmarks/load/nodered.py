"""Node-RED with the same model, where Node.js, node-red and onnxruntime-node are installed.

The session is made in the settings file, and tensors as well: a Float32Array made inside a function node comes from
another realm of the JavaScript engine, and onnxruntime-node refuses it.
"""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path

from benchmarks.load.broker import HOST
from benchmarks.load.programs import Process, Starter
from benchmarks.load.scenario import Place
from edge_runtime.errors import BadInput

_SETTINGS = """
const ort = require({ort});
const session = ort.InferenceSession.create({model});
module.exports = {{
  httpAdminRoot: false, httpNodeRoot: false, uiPort: 0, uiHost: "127.0.0.1",
  logging: {{ console: {{ level: "warn" }} }},
  functionGlobalContext: {{
    predict: async (reading) => {{
      const row = new Float32Array(8);
      for (let index = 0; index < 8; index++) row[index] = reading["v" + index];
      const found = await (await session).run({{ reading: new ort.Tensor("float32", row, [1, 8]) }});
      return found.value.data[0];
    }},
  }},
}};
"""
_FUNCTION = 'msg.payload = JSON.stringify({value: await global.get("predict")(msg.payload)}); return msg;'


def find(folder: Path | None) -> Starter | str:
    """Return what starts Node-RED, or in words what is not installed.

    Args:
        folder: A ``node_modules``; None asks npm for the one of globally installed packages.

    Raises:
        BadInput: E-LOAD-NODE-MODULES, the folder given does not hold them.
    """
    node, npm = shutil.which("node"), shutil.which("npm")
    if node is None:
        return "not installed: node"
    given = folder
    if folder is None and npm is not None:
        asked = subprocess.run([npm, "root", "-g"], capture_output=True, text=True, check=False)
        folder = Path(asked.stdout.strip())
    missing = [name for name in ("node-red", "onnxruntime-node") if folder is None or not (folder / name).is_dir()]
    if missing and given is not None:
        fix = f"npm install --prefix {given.parent} {' '.join(missing)}"
        raise BadInput("E-LOAD-NODE-MODULES", f"{given} does not hold {', '.join(missing)}", fix)
    if missing or folder is None:
        return f"not installed: {', '.join(missing)}"
    program, modules = node, folder.resolve()
    return lambda place: _start(program, modules, place)


def _start(node: str, modules: Path, place: Place) -> Process:
    home = place.folder / "node-red"
    home.mkdir()
    ort = json.dumps(str(modules / "onnxruntime-node"))
    model = json.dumps(str(place.folder / "model.onnx"))
    (home / "settings.js").write_text(_SETTINGS.format(ort=ort, model=model), encoding="utf-8")
    (home / "flows.json").write_text(json.dumps(_flow(place)), encoding="utf-8")
    command = [
        node,
        str(modules / "node-red" / "red.js"),
        "-u",
        str(home),
        "-s",
        str(home / "settings.js"),
        "flows.json",
    ]
    with (place.folder / "programs.log").open("ab") as log:
        return subprocess.Popen(command, stdout=log, stderr=log, stdin=subprocess.DEVNULL)


def _flow(place: Place) -> list[dict[str, object]]:
    qos = str(place.scenario.qos)
    return [
        {"id": "tab", "type": "tab", "label": "load"},
        {
            "id": "broker",
            "type": "mqtt-broker",
            "broker": HOST,
            "port": str(place.port),
            "protocolVersion": "4",
            "keepalive": "60",
            "cleansession": True,
            "autoConnect": True,
        },
        {
            "id": "in",
            "type": "mqtt in",
            "z": "tab",
            "topic": place.filter_in,
            "qos": qos,
            "datatype": "json",
            "broker": "broker",
            "wires": [["model"]],
        },
        {"id": "model", "type": "function", "z": "tab", "func": _FUNCTION, "outputs": 1, "wires": [["out"]]},
        {
            "id": "out",
            "type": "mqtt out",
            "z": "tab",
            "topic": place.topic_out.replace("{stream}", "pump"),
            "qos": qos,
            "retain": "false",
            "broker": "broker",
            "wires": [],
        },
    ]
