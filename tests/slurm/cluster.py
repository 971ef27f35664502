"""A real Slurm on this machine: two nodes of two cores on loopback, without accounting.

Needs root and Debian's packages slurm-wlm and munge, which `Cluster.install` gets. The
configuration has to be in /etc/slurm, since Snakemake's executor drops SLURM_* variables; a
configuration that is there already, some real cluster's, is never touched.
"""

import contextlib
import os
import shutil
import socket
import subprocess
from collections.abc import Callable
from pathlib import Path

import psutil

from tests.services import CannotRun, free_ports, install, wait_until

CONFIGURATION = Path("/etc/slurm/slurm.conf")
PROGRAMS = ("slurmctld", "slurmd", "munged", "sbatch", "srun", "squeue", "scancel")
NODES = ("n1", "n2")
TEMPLATE = """\
ClusterName=bnstudy-test
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={port}
SlurmUser=root
AuthType=auth/munge
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool/%n
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.%n.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/slurmd.%n.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
MpiDefault=none
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU_Memory
SchedulerParameters=sched_interval=5
ReturnToService=2
SlurmdParameters=config_overrides
SlurmdTimeout=10
NodeName=n1 NodeHostname={host} NodeAddr=127.0.0.1 Port={first} CPUs=2 RealMemory=6000
NodeName=n2 NodeHostname={host} NodeAddr=127.0.0.1 Port={second} CPUs=2 RealMemory=6000
PartitionName=main Nodes=ALL Default=YES MaxTime=INFINITE State=UP
"""


class Cluster:
    """Slurm in `folder`; a context manager: started, then stopped and removed."""

    def __init__(self, folder: Path):
        self.folder = folder
        self.munged: subprocess.Popen | None = None

    @staticmethod
    def install() -> None:
        """Get what is missing. CannotRun without root, or where a Slurm is already."""
        if os.geteuid() != 0:
            raise CannotRun("a Slurm for tests is started by root (in a container, say)")
        if CONFIGURATION.exists():
            raise CannotRun(f"{CONFIGURATION} exists: this machine belongs to a cluster already")
        missing = [program for program in PROGRAMS if not shutil.which(program)]
        install(["slurm-wlm", "munge"], missing)

    def __enter__(self) -> "Cluster":
        self.install()
        for place in ("state", *(f"spool/{node}" for node in NODES)):
            (self.folder / place).mkdir(parents=True)
        port, first, second = free_ports(3)
        CONFIGURATION.parent.mkdir(exist_ok=True)
        CONFIGURATION.write_text(
            TEMPLATE.format(
                host=socket.gethostname().split(".")[0],
                folder=self.folder,
                port=port,
                first=first,
                second=second,
            )
        )
        try:
            self._start_munge()
            self.start_controller()
            for node in NODES:
                self.start_node(node)
            self._wait_until(lambda: self.states() == dict.fromkeys(NODES, "idle"), "idle nodes")
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_) -> None:
        with contextlib.suppress(subprocess.SubprocessError):
            subprocess.run(["scancel", "--me"], timeout=10, capture_output=True, check=False)
        for node in NODES:
            self.kill_node(node)
        self.stop_controller()
        if self.munged:
            self.munged.terminate()
            self.munged.wait(10)
        CONFIGURATION.unlink(missing_ok=True)

    def start_controller(self) -> None:
        """The daemon that queues and places jobs; it goes on from what it had saved."""
        subprocess.run(["slurmctld"], check=True)

    def stop_controller(self) -> None:
        """It saves its state. A killed one may forget a job that it had just placed, place it again
        when it is back, and then take the node for broken: Slurm's own trouble, not ours."""
        self._end(self.folder / "slurmctld.pid", psutil.Process.terminate)

    def start_node(self, node: str) -> None:
        """The daemon of one node."""
        subprocess.run(["slurmd", "-N", node], check=True)

    def kill_node(self, node: str) -> None:
        """The node's daemon and all that runs under it, as when its power fails."""
        processes = _processes_of(node)
        self._end(self.folder / f"slurmd.{node}.pid", psutil.Process.kill)
        for process in processes:
            with contextlib.suppress(psutil.NoSuchProcess):
                process.kill()

    def states(self) -> dict[str, str]:
        """Node → state, as sinfo says; empty while the controller does not answer."""
        return dict(line.split() for line in self._ask("sinfo", "-h", "-N", "-o", "%N %t"))

    def running_on(self, node: str) -> list[str]:
        """The comments (the executor writes the rule's name there) of jobs that run on `node`."""
        return self._ask("squeue", "-h", "-t", "running", "-w", node, "-o", "%k")

    def jobs(self) -> list[str]:
        """Names of all jobs queued or running."""
        return self._ask("squeue", "-h", "-o", "%j")

    def _start_munge(self) -> None:
        if Path("/run/munge/munge.socket.2").exists() and not _fails(["munge", "-n"]):
            return
        for place in ("/run/munge", "/var/lib/munge", "/var/log/munge"):
            Path(place).mkdir(parents=True, exist_ok=True)
            shutil.chown(place, "munge", "munge")
        Path("/run/munge").chmod(0o755)
        command = ["runuser", "-u", "munge", "--", "munged", "--foreground", "--force"]
        self.munged = subprocess.Popen(command, stderr=subprocess.DEVNULL)
        self._wait_until(lambda: not _fails(["munge", "-n"]), "munge")

    def _end(self, pid_file: Path, how: Callable[[psutil.Process], None]) -> None:
        """End the daemon that wrote `pid_file`; wait until it is gone."""
        if not pid_file.exists():
            return
        with contextlib.suppress(psutil.Error):
            process = psutil.Process(int(pid_file.read_text()))
            how(process)
            process.wait(30)
        pid_file.unlink(missing_ok=True)  # one that was asked to end has taken it away

    def _ask(self, *command: str) -> list[str]:
        asked = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
        return asked.stdout.splitlines()

    def _wait_until(self, condition, what: str, seconds: float = 30) -> None:
        wait_until(condition, f"{what}; Slurm's logs are in {self.folder}", seconds)


def _fails(command: list[str]) -> bool:
    return subprocess.run(command, capture_output=True, check=False).returncode != 0


def _processes_of(node: str) -> list[psutil.Process]:
    """The steps that run on `node` (they write to its log) and all that they started."""
    steps = []
    for process in psutil.process_iter(["name"]):
        with contextlib.suppress(psutil.Error):
            files = [file.path for file in process.open_files()]
            if process.name() == "slurmstepd" and any(f"slurmd.{node}." in file for file in files):
                steps.append(process)
    return [*steps, *(child for step in steps for child in step.children(recursive=True))]
