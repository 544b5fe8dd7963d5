"""End to end in a real terminal: keys typed into tmux, the screen read back; the same through sshd on the loopback."""

from __future__ import annotations

import getpass
import os
import re
import shlex
import shutil
import signal
import socket
import subprocess
import sys
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

from engine.runs import catalog
from engine.runs.directory import RunDirectory
from tests.runs import wait_until

pytestmark = pytest.mark.slow

MFTUI = shlex.join([sys.executable, "-P", "-m", "mftui.cli"])
LASTING = "--set gd.steps=100_000_000 --set gnc.draws=1_000_000_000 --set gnc.sampler=rejection"
LASTING += " --set gnc.effective_samples=1_000_000_000"


class Tmux:
    """A terminal with a shell in it."""

    def __init__(self, size: tuple[int, int], home: Path) -> None:
        self._name = f"mftui-{uuid.uuid4().hex[:8]}"
        environment = {**os.environ, "MFTUI_HOME": str(home), "LC_ALL": "C.UTF-8", "PS1": "$ "}
        command = ["new-session", "-d", "-s", "lab", "-x", str(size[0]), "-y", str(size[1]), "sh"]
        subprocess.run(["tmux", "-L", self._name, *command], check=True, env=environment)

    def tmux(self, *arguments: str) -> str:
        ended = subprocess.run(["tmux", "-L", self._name, *arguments], check=True, capture_output=True, text=True)
        return ended.stdout

    def type(self, text: str) -> None:
        self.tmux("send-keys", "-t", "lab", "-l", text)

    def press(self, *keys: str) -> None:
        self.tmux("send-keys", "-t", "lab", *keys)

    def run(self, line: str) -> None:
        self.type(line)
        self.press("Enter")

    @property
    def screen(self) -> str:
        return self.tmux("capture-pane", "-p", "-t", "lab")

    def shows(self, pattern: str) -> None:
        """Wait until the screen does."""
        wait_until(lambda: re.search(pattern, self.screen), repr(pattern), self._told)

    def hides(self, pattern: str) -> None:
        """Wait until the screen no longer shows it."""
        wait_until(lambda: not re.search(pattern, self.screen), f"the end of {pattern!r}", self._told)

    def _told(self) -> str:
        return f"the screen shows\n{self.screen}"

    def close(self) -> None:
        subprocess.run(["tmux", "-L", self._name, "kill-server"], check=False, capture_output=True)


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """mftui's folder; no worker is left at work in it."""
    folder = tmp_path / "home"
    monkeypatch.setenv("MFTUI_HOME", str(folder))
    yield folder
    for entry in catalog.entries():
        if (pid := catalog.lock.holder(entry.path / "lock")) is not None:
            os.kill(pid, signal.SIGKILL)


@pytest.fixture(params=[(80, 24), (160, 45)], ids=["80x24", "160x45"])
def terminal(request: pytest.FixtureRequest, home: Path) -> Iterator[Tmux]:
    if shutil.which("tmux") is None:
        pytest.skip("tmux is not installed")
    opened = Tmux(request.param, home)
    yield opened
    opened.close()


def only_run() -> catalog.Entry:
    (entry,) = catalog.entries()
    return entry


def test_a_run_is_started_watched_paused_scrubbed_left_attached_and_stopped(terminal: Tmux) -> None:
    terminal.run(f"{MFTUI} explore quick-start {LASTING}")
    terminal.shows(r"● running")
    wait_until(lambda: sum(file.stat().st_size for file in only_run().path.glob("gd-*.rec")) > 10_000, "log points")
    terminal.press("Space")
    terminal.shows(r"‖ paused")
    terminal.press("Left", "Left")
    terminal.shows(r"step [\d,]+, escape: latest")
    terminal.press("Escape")
    terminal.hides(r"escape: latest")  # or escape and the next key would be one
    terminal.press("y")
    terminal.shows(r"log · ╌ true")
    terminal.press("?")
    terminal.shows(r"pause, or go on")
    terminal.press("Escape")
    terminal.hides(r"pause, or go on")
    terminal.press("Space")
    terminal.shows(r"● running")
    terminal.press("D")
    terminal.shows(r"go on with: mftui attach quick-start")
    assert not re.search(r"\d+;\d+R", terminal.screen), "what tmux answers goes to the shell"
    assert only_run().state == "running"
    terminal.run(f"clear; {MFTUI} attach")
    terminal.shows(r"(?s)GD.*%|━")
    terminal.press("C-c")
    terminal.shows(r"goes on; stop it: mftui runs stop")
    terminal.run(f"clear; {MFTUI} runs stop quick")
    wait_until(lambda: only_run().state == "stopped", "the end of the run")


def test_the_width_is_changed_in_the_form_and_what_ran_and_the_screen_are_exported(
    terminal: Tmux, tmp_path: Path
) -> None:
    terminal.run(f"cd {shlex.quote(str(tmp_path))}; clear; {MFTUI} explore quick-start {LASTING} --set model.width=5")
    terminal.shows(r"● running")
    terminal.press("f")
    terminal.shows(r"activation +‹")
    terminal.press("Down")
    terminal.hides(r"activation +‹")
    terminal.press("7")
    terminal.shows(r"width +7")
    terminal.press("Enter")
    wait_until(lambda: {width_of(entry) for entry in catalog.entries()} == {5, 7}, "a run of width 7")
    terminal.press("Escape")
    terminal.shows(r"● running")
    terminal.press("s")
    terminal.shows(r"■ stopped")
    terminal.press("C-s")
    wait_until(lambda: list(tmp_path.glob("mftui-explore-*.txt")), "the screen as text")
    (text,), (_,) = tmp_path.glob("mftui-explore-*.txt"), tmp_path.glob("mftui-explore-*.svg")
    assert "■ stopped" in text.read_text(encoding="utf-8")
    terminal.press("3")
    terminal.shows(r"2 runs")
    terminal.press("e")
    terminal.shows(r"export to the folder")
    terminal.press("Enter")
    wait_until(lambda: [path for path in tmp_path.iterdir() if path.suffix == ".csv"], "tables of the run")
    terminal.press("q")
    terminal.shows(r"go on with: mftui resume")


def width_of(entry: catalog.Entry) -> object:
    return RunDirectory.open(entry.path).experiment.points[0].model.width


def test_the_run_goes_on_when_its_terminal_is_killed(terminal: Tmux) -> None:
    terminal.run(f"{MFTUI} explore quick-start {LASTING}")
    terminal.shows(r"● running")
    terminal.close()
    entry = only_run()
    assert catalog.is_alive(entry.path)
    sign = catalog.last_sign(entry.path)
    wait_until(lambda: catalog.last_sign(entry.path) > sign, "more rows")


@pytest.mark.parametrize("terminal", [(80, 24)], indirect=True, ids=["80x24"])
def test_a_console_of_ascii_and_sixteen_colours_is_sent_nothing_else(terminal: Tmux) -> None:
    terminal.run(f"clear; env -u COLORTERM LC_ALL=C TERM=linux {MFTUI} explore quick-start {LASTING}")
    terminal.shows(r"\* running")
    terminal.shows(r"\+- singular values of W")
    assert terminal.screen.isascii()
    codes = re.findall(r"\x1b\[([\d;]*)m", terminal.tmux("capture-pane", "-e", "-p", "-t", "lab"))
    assert not [code for code in codes if re.search(r"[34]8;", code)], "colours by number or by red, green and blue"
    assert any(re.search(r"\b9[0-7]\b", code) for code in codes)
    terminal.press("q")
    terminal.shows(r"go on with: mftui resume")


@pytest.fixture
def sshd(tmp_path: Path) -> Iterator[list[str]]:
    """The words of an ssh command to a server of our own on the loopback."""
    server = shutil.which("sshd", path=f"{os.environ.get('PATH', '')}:/usr/sbin:/usr/local/sbin")
    if server is None or shutil.which("ssh") is None or shutil.which("ssh-keygen") is None:
        pytest.skip("openssh-server is not installed")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    folder = tmp_path / "ssh"
    folder.mkdir(mode=0o700)
    for name in ("host", "user"):
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(folder / name)], check=True)
    (folder / "authorized").write_text((folder / "user.pub").read_text())
    options = {
        "HostKey": folder / "host",
        "AuthorizedKeysFile": folder / "authorized",
        "PidFile": folder / "pid",
        "StrictModes": "no",
        "UsePAM": "no",
        "PasswordAuthentication": "no",
        "ListenAddress": "127.0.0.1",
        "SetEnv": f"MFTUI_HOME={os.environ['MFTUI_HOME']} LC_ALL=C.UTF-8",
    }
    if os.getuid() == 0:
        os.makedirs("/run/sshd", exist_ok=True)
    words = [word for key, value in options.items() for word in ("-o", f"{key}={value}")]
    with subprocess.Popen([server, "-D", "-e", "-f", "/dev/null", "-p", str(port), *words]) as process:
        known = [
            "-o",
            "StrictHostKeyChecking=no",
            "-o",
            f"UserKnownHostsFile={folder / 'known'}",
            "-o",
            "LogLevel=ERROR",
        ]
        command = ["ssh", "-tt", "-F", "/dev/null", "-i", str(folder / "user"), "-p", str(port), *known]
        command.append(f"{getpass.getuser()}@127.0.0.1")
        reached = [*command[:1], "-o", "BatchMode=yes", *command[2:], "true"]
        try:
            wait_until(
                lambda: process.poll() is not None or subprocess.run(reached, capture_output=True).returncode == 0,
                "sshd",
            )
            if process.poll() is not None:
                pytest.skip("sshd does not start here")
            yield command
        finally:
            process.terminate()


@pytest.mark.parametrize("terminal", [(160, 45)], indirect=True, ids=["160x45"])
def test_through_ssh_a_cut_connection_leaves_the_run_and_another_shows_it_again(
    terminal: Tmux, sshd: list[str]
) -> None:
    ssh = shlex.join(sshd)
    terminal.run(f"{ssh} {shlex.quote(f'{MFTUI} explore quick-start {LASTING}')}; echo C''UT")
    terminal.shows(r"● running")
    terminal.shows(r"KB/s")
    terminal.press("Enter", "~", ".")  # ssh's own key: cut the connection
    terminal.shows(r"CUT")
    entry = only_run()
    sign = catalog.last_sign(entry.path)
    wait_until(lambda: catalog.last_sign(entry.path) > sign, "more rows")
    terminal.run("clear")
    terminal.hides(r"CUT")  # and with it what the explorer left on the screen
    terminal.run(f"{ssh} {shlex.quote(f'{MFTUI} attach')}; echo LE''FT")
    terminal.shows(r"━|GD")
    terminal.press("C-c")
    terminal.shows(r"goes on; stop it")
    terminal.shows(r"LEFT")  # what is typed before the connection has ended is lost with it
    terminal.run(f"clear; {ssh} {shlex.quote(f'{MFTUI} runs stop quick')}")
    wait_until(lambda: only_run().state == "stopped", "the end of the run")
