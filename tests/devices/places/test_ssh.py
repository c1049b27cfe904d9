"""A place over ssh, against a real sshd: what it does, and what every fault says and leaves behind."""

from __future__ import annotations

import os
import shlex
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import pytest
from sshd import HOST, Sshd, children, find_program

from devices.errors import EnvironmentFault
from devices.places import ssh_connection
from devices.places.ssh import SshPlace

ROOT = Path(__file__).resolve().parents[3]
SLEEP = "import sys, time; print('started', file=sys.stderr, flush=True); time.sleep(600)"


def ignore(_line: str) -> None:
    """Hear a line and do nothing."""


def fault(place: SshPlace, work: Callable[[SshPlace], object] = lambda place: None) -> EnvironmentFault:
    """Return the error that opening the place and working there ends with."""
    with pytest.raises(EnvironmentFault) as raised, place:
        work(place)
    assert place.name in raised.value.message
    return raised.value


def test_files_go_there_work_is_done_and_files_come_back(sshd: Sshd) -> None:
    """Every byte arrives, its Python works in the folder with onnxruntime, and lines of stderr come as they are."""
    data, lines = bytes(range(256)) * 5000, []
    code = (
        "import sys, onnxruntime, numpy; from pathlib import Path\n"
        "print('first', file=sys.stderr); print('second', file=sys.stderr)\n"
        "Path('out.bin').write_bytes(Path('parts/in.bin').read_bytes()[::-1]); print(sys.argv[1:])"
    )
    arguments = ["plain", "two words", "it's", '"$HOME"', "a\nb", "*", ""]
    with sshd.place() as place:
        place.put("parts/in.bin", data)
        place.put("empty", b"")
        ended = place.python(["-c", code, *arguments], lines.append)
        assert (ended.status, ended.stdout.decode()) == (0, f"{arguments}\n")
        assert place.get("out.bin") == data[::-1]
        assert place.get("empty") == b""
    assert lines == ["first", "second"]
    assert ended.stderr == "first\nsecond\n"
    assert sshd.left() == []
    with place:
        assert place.python(["-c", "import os; print(os.listdir())"], ignore).stdout == b"[]\n"
    assert sshd.left() == []


def test_names_are_names_whatever_stands_in_them(sshd: Sshd) -> None:
    """No character of a file's name means anything to the shell there."""
    names = ["two words.onnx", "it's $(touch x);&.bin", "-n", "größe", "a\nb"]
    with sshd.place() as place:
        for name in names:
            place.put(name, name.encode())
            assert place.get(name) == name.encode()
        assert sorted(file.name for folder in sshd.remote.iterdir() for file in folder.iterdir()) == sorted(names)


def test_files_stay_in_the_working_folder(sshd: Sshd) -> None:
    """No name leads out of it."""
    with sshd.place() as place:
        for name in ("/etc/passwd", "../x", "a/../../x", ""):
            with pytest.raises(ValueError, match="working folder"):
                place.put(name, b"content")


def test_a_failed_command_gives_its_status(sshd: Sshd) -> None:
    """What the command itself says is for the caller, no error of the place."""
    with sshd.place() as place:
        ended = place.python(["-c", "import sys; sys.exit('no such model')"], ignore)
    assert (ended.status, ended.stdout, ended.stderr) == (1, b"", "no such model\n")


@pytest.mark.parametrize("host", ["board", "behind"])
def test_the_users_ssh_configuration_holds(sshd: Sshd, host: str) -> None:
    """Aliases with their user and port, and jump hosts, are the configuration's."""
    with sshd.place(host) as place:
        place.put("x", b"1")
        assert place.get("x") == b"1"
    assert sshd.left() == []


def test_a_login_script_that_speaks_spoils_nothing(sshd: Sshd) -> None:
    """What it prints comes before ours, and is left out of files and outputs."""
    sshd.set_login("echo Welcome; echo to line 3 >&2")
    with sshd.place() as place:
        place.put("x", b"1")
        assert place.get("x") == b"1"
        assert place.python(["-c", "print(2)"], ignore).stdout == b"2\n"


def test_an_error_of_ours_leaves_nothing(sshd: Sshd) -> None:
    """The folder goes away with the block, however that ends."""

    def fail(_line: str) -> None:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError), sshd.place() as place:
        place.python(["-c", SLEEP], fail)
    assert sshd.left() == []


def test_a_machine_that_is_off_is_unreachable(sshd: Sshd) -> None:
    """The error names the place and the command to try by hand."""
    sshd.stop()
    found = fault(sshd.place())
    sshd.start()
    assert found.code == "E-PLACE-UNREACHABLE"
    assert f"ssh -F {sshd.config} -p {sshd.port}" in found.fix


def test_a_name_that_nobody_knows_is_unreachable(sshd: Sshd) -> None:
    """A host that does not exist (RFC 2606) is told from one that refuses."""
    assert fault(sshd.place("line3.invalid")).code == "E-PLACE-UNREACHABLE"


def test_a_machine_that_does_not_answer_is_unreachable(sshd: Sshd, monkeypatch: pytest.MonkeyPatch) -> None:
    """It lets us in and then nothing comes: that ends too."""
    monkeypatch.setattr(ssh_connection, "ANSWER_SECONDS", 1.0)
    sshd.set_login("exec sleep 3")
    assert fault(sshd.place()).code == "E-PLACE-UNREACHABLE"


def test_a_key_that_is_not_let_in(sshd: Sshd) -> None:
    """No password is asked for; the error says what must work first."""
    sshd.authorized_keys.write_text("")
    found = fault(sshd.place())
    assert found.code == "E-PLACE-AUTH"
    assert "Permission denied" in found.message


def test_a_changed_host_key_is_refused_with_the_line_and_a_warning(sshd: Sshd) -> None:
    """The line it names removes the old key, after which the machine is an unknown one: nothing was accepted."""
    sshd.stop()
    sshd.make_key("host_key")
    sshd.start()
    found = fault(sshd.place())
    assert found.code == "E-PLACE-HOST-KEY"
    assert "somebody is in between" in found.message
    line = found.fix.partition(": ")[2].partition(", then")[0]
    subprocess.run(shlex.split(line), check=True, capture_output=True)
    assert fault(sshd.place()).code == "E-PLACE-HOST-UNKNOWN"


def test_an_unknown_host_key_is_not_accepted(sshd: Sshd) -> None:
    """Whoever answers there is not trusted because he answers."""
    sshd.known_hosts.write_text("")
    found = fault(sshd.place())
    assert found.code == "E-PLACE-HOST-UNKNOWN"
    assert sshd.known_hosts.read_text() == ""


def test_a_machine_without_python(sshd: Sshd) -> None:
    """The error has the line that installs it, and how to name one that is elsewhere."""
    (sshd.folder / "bin/python3").unlink()
    found = fault(sshd.place())
    assert found.code == "E-PLACE-PYTHON"
    assert "sudo apt-get install -y python3" in found.fix


def test_an_account_that_runs_no_commands(sshd: Sshd) -> None:
    """What it says instead is in the error."""
    sshd.set_login("echo This account is currently not available.; exit 1")
    found = fault(sshd.place())
    assert found.code == "E-PLACE-PYTHON"
    assert "not available" in found.message


def test_a_python_that_does_not_work(sshd: Sshd) -> None:
    """Its own words are in the error."""
    sshd.set_python("echo cannot execute: required file not found >&2; exit 126")
    found = fault(sshd.place())
    assert found.code == "E-PLACE-PYTHON"
    assert "required file not found" in found.message


def test_a_machine_without_onnxruntime(sshd: Sshd) -> None:
    """The error names the interpreter and the line to type; the folder that was made for us is gone."""
    sshd.set_python(f'exec {shlex.quote(sys.executable)} -S "$@"')  # sees none of the packages
    found = fault(sshd.place())
    assert found.code == "E-PLACE-ONNXRUNTIME"
    assert "no numpy and no onnxruntime" in found.message
    assert "install numpy onnxruntime" in found.fix
    assert sshd.left() == []


def test_a_python_elsewhere_can_be_named(sshd: Sshd, tmp_path: Path) -> None:
    """On boards the packages live in a virtual environment."""
    (sshd.folder / "bin/python3").rename(tmp_path / "my python")
    named = SshPlace(None, "board", python=str(tmp_path / "my python"), config=sshd.config)
    with named as place:
        assert place.python(["-c", "import onnxruntime"], ignore).status == 0


def full_disk(sshd: Sshd, name: str) -> None:
    """Let a file of the working folder lie on a device that is always full."""
    (folder,) = sshd.remote.iterdir()
    (folder / name).symlink_to("/dev/full")


def test_a_full_disk_stops_a_file(sshd: Sshd) -> None:
    """The error says that there is no room; what was sent before is gone as well."""

    def work(place: SshPlace) -> None:
        place.put("small", b"1")
        full_disk(sshd, "model.onnx")
        place.put("model.onnx", bytes(1_000_000))

    found = fault(sshd.place(), work)
    assert found.code == "E-PLACE-DISK-FULL"
    assert "No space left on device" in found.message
    assert sshd.left() == []


def test_a_full_disk_stops_the_work(sshd: Sshd) -> None:
    """A command that cannot write its results is told from one that is wrong."""

    def work(place: SshPlace) -> None:
        full_disk(sshd, "results")
        place.python(["-c", "open('results', 'w').write('x' * 100000)"], ignore)

    assert fault(sshd.place(), work).code == "E-PLACE-DISK-FULL"
    assert sshd.left() == []


def test_a_limit_on_files_is_no_room_either(sshd: Sshd) -> None:
    """Where the machine lets no file grow so large, the signal that says so is understood."""
    sshd.set_login("ulimit -f 1")
    assert fault(sshd.place(), lambda place: place.put("model.onnx", bytes(1_000_000))).code == "E-PLACE-DISK-FULL"
    assert sshd.left() == []


def test_a_file_that_is_not_there(sshd: Sshd) -> None:
    """A result that was never written is named."""
    found = fault(sshd.place(), lambda place: place.get("results.npz"))
    assert found.code == "E-PLACE-NO-FILE"
    assert "results.npz" in found.message


def test_a_file_that_cannot_be_written(sshd: Sshd) -> None:
    """Where there is room and still it fails, the machine's own words are shown."""

    def work(place: SshPlace) -> None:
        place.put("x", b"1")
        place.put("x/y", b"1")

    found = fault(sshd.place(), work)
    assert found.code == "E-PLACE-FOLDER"
    assert "x/y" in found.message


def test_a_connection_cut_in_the_middle_of_work(sshd: Sshd) -> None:
    """The error says so, and the machine itself kills what ran there and removes the folder."""

    def work(place: SshPlace) -> None:
        place.put("x", b"1")
        place.python(["-c", SLEEP], lambda line: sshd.cut())

    assert fault(sshd.place(), work).code == "E-PLACE-LOST"
    sshd.wait_until_nothing_is_left()


def test_a_connection_cut_between_commands_is_not_made_anew(sshd: Sshd) -> None:
    """The folder is gone with the connection, so going on would be wrong; closing is in order."""

    def work(place: SshPlace) -> None:
        sshd.cut()
        place.put("x", b"1")

    assert fault(sshd.place(), work).code == "E-PLACE-LOST"
    sshd.wait_until_nothing_is_left()


def test_a_network_that_falls_silent_leaves_nothing(sshd: Sshd, monkeypatch: pytest.MonkeyPatch) -> None:
    """No connection ends, nothing comes any more: the machine gives us up and cleans up by itself."""
    monkeypatch.setattr(ssh_connection, "SILENCE_SECONDS", 1.0)
    with sshd.place() as place:
        place.put("x", b"1")
        (ssh,) = children(os.getpid())[-1:]
        os.kill(ssh, signal.SIGSTOP)
        try:
            sshd.wait_until_nothing_is_left()
        finally:
            os.kill(ssh, signal.SIGCONT)


def test_signs_of_life_keep_the_folder(sshd: Sshd, monkeypatch: pytest.MonkeyPatch) -> None:
    """Work that says nothing for longer than the silence is not given up while we are there."""
    monkeypatch.setattr(ssh_connection, "SILENCE_SECONDS", 1.0)
    monkeypatch.setattr(ssh_connection, "BEAT_SECONDS", 0.1)
    with sshd.place() as place:
        assert place.python(["-c", "import time; time.sleep(2)"], ignore).status == 0


def test_our_own_end_leaves_nothing(sshd: Sshd) -> None:
    """Killed without any chance to clean up, on this side, nothing stays on the other."""
    code = (
        "import sys; from pathlib import Path; from devices.places.ssh import SshPlace\n"
        f"with SshPlace(None, 'board', config=Path({str(sshd.config)!r})) as place:\n"
        f"    place.python(['-c', {SLEEP!r}], lambda line: print(line, flush=True))\n"
    )
    with tempfile.TemporaryDirectory() as short:  # what stays on this side
        environment = {**os.environ, "TMPDIR": short}
        command = [sys.executable, "-c", code]
        with subprocess.Popen(command, stdout=subprocess.PIPE, cwd=ROOT, env=environment) as process:
            assert process.stdout is not None
            assert process.stdout.readline() == b"started\n"
            assert sshd.running()
            process.kill()
    sshd.wait_until_nothing_is_left()


def test_an_interruption_leaves_nothing(sshd: Sshd) -> None:
    """Ctrl-C while something runs there ends it, and the folder is gone when the command is."""

    def interrupt(_line: str) -> None:
        raise KeyboardInterrupt

    much = f"import sys; sys.stderr.write('line\\n' * 500_000)\n{SLEEP}"
    with pytest.raises(KeyboardInterrupt), sshd.place() as place:
        place.python(["-c", much], interrupt)
    assert (sshd.left(), sshd.running()) == ([], [])


def test_work_that_takes_too_long_is_killed_there(sshd: Sshd) -> None:
    """Also what it started; the place can be used afterwards."""
    start = "import subprocess, sys; subprocess.run([sys.executable, '-c', 'import time; time.sleep(600)'])"
    with sshd.place() as place:
        with pytest.raises(EnvironmentFault) as raised:
            place.python(["-c", start], ignore, timeout=1.0)
        assert raised.value.code == "E-PLACE-TIMEOUT"
        assert sshd.running() == []
        assert place.python(["-c", "print(1)"], ignore, timeout=60.0).stdout == b"1\n"
    assert sshd.left() == []


def test_a_signal_that_ends_the_work_is_told(sshd: Sshd) -> None:
    """Status 137 of a shell is the kernel that ran out of memory: the signal is told, and the place still works."""
    with sshd.place() as place:
        for number in (signal.SIGKILL, signal.SIGSEGV, signal.SIGILL):
            ended = place.python(["-c", f"import os; os.kill(os.getpid(), {int(number)})"], ignore)
            assert ended.status == -number
    assert sshd.left() == []


def test_a_server_that_takes_one_session_only(sshd: Sshd) -> None:
    """That is told from a connection that was cut: running it again would not help."""
    sshd.stop()
    sshd.start("MaxSessions 1")
    found = fault(sshd.place(), lambda place: place.put("x", b"1"))
    assert found.code == "E-PLACE-SSH"
    assert "MaxSessions" in found.fix


def test_without_the_program_ssh_its_package_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A workstation without it gets the line that installs it."""
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(EnvironmentFault) as raised, SshPlace("pi", HOST):
        pass
    found = raised.value
    assert found.code == "E-PLACE-SSH"
    assert "openssh-client" in found.fix


def test_a_wrong_ssh_configuration_is_shown(tmp_path: Path) -> None:
    """Ssh's own words say which line."""
    config = tmp_path / "config"
    config.write_text("Host *\n  NoSuchOption yes\n")
    assert find_program("ssh")
    found = fault(SshPlace("pi", HOST, config=config))
    assert found.code == "E-PLACE-SSH"
    assert "nosuchoption" in found.message.lower()
