"""`edge-runtime service`: the daemon as a hardened systemd service."""

from __future__ import annotations

from pathlib import Path

import click


@click.command()
@click.argument("action", type=click.Choice(["install", "print", "uninstall"]), metavar="ACTION")
@click.argument("config", type=click.Path(path_type=Path))
@click.option("--user", is_flag=True, help="For your own service manager, without root; it can close less.")
@click.option("--force", is_flag=True, help="Also where the unit was changed by hand.")
@click.option("--memory-max", default="", metavar="SIZE", help="Most memory the service may use, such as 400M.")
@click.option("--gpu", is_flag=True, help="Let the service use an NVIDIA graphics processor.")
def service(action: str, config: Path, user: bool, force: bool, memory_max: str, gpu: bool) -> None:
    """Install the daemon for CONFIG as a systemd service, print its unit, or uninstall it.

    ACTION is install, print or uninstall. Nothing is started or stopped: the commands for that are printed. The
    service has a user of its own, sees the system read-only, and writes only its state folder.
    """
    from edge_runtime import service as systemd
    from edge_runtime.config import load_config

    name = systemd.unit_name(config)
    file = systemd.unit_folder(user) / name
    control = "systemctl --user" if user else "sudo systemctl"
    if action == "uninstall":
        found = systemd.uninstall(file, force)
        click.echo(f"removed {file}" if found else f"there is no {file}")
        click.echo(f"next: {control} disable {name}; {control} stop {name}; {control} daemon-reload")
        return
    text = systemd.text_of(config, load_config(config), systemd.Wishes(user, gpu, memory_max))
    if action == "print":
        click.echo(text, nl=False)
        return
    systemd.install(file, text, force)
    click.echo(f"wrote {file}")
    click.echo(f"next: {control} daemon-reload && {control} enable {name} && {control} start {name}")
    click.echo(f"then: {control} status {name}; {'' if user else 'sudo '}edge-runtime status {config}")
