"""A Slurm of one machine: controller and daemon from the distribution's packages, in a folder of their own."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
from contextlib import contextmanager
from pathlib import Path

import pytest

from salmu_core.testing import wait_for

PACKAGES = ("slurmctld", "slurmd", "slurm-client", "munge")
#: ``install`` to have the packages installed where they are missing; Debian's, as root.
VARIABLE = "SALMU_TEST_SLURM"

CONFIG = """\
ClusterName=one
SlurmctldHost={host}
SlurmUser=root
SlurmctldPort={ports[0]}
SlurmdPort={ports[1]}
AuthType=auth/munge
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/slurmd.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
MpiDefault=none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
ReturnToService=2
JobRequeue=1
KillWait=5
NodeName={host} CPUs={cpus} State=UNKNOWN
PartitionName=main Nodes=ALL Default=YES MaxTime=INFINITE State=UP OverSubscribe=FORCE:4
"""


def _free_port():
    with socket.socket() as found:
        found.bind(("", 0))
        return found.getsockname()[1]


def _installed():
    if all(map(shutil.which, ("slurmctld", "slurmd", "sbatch", "munged"))):
        return True
    if os.environ.get(VARIABLE) != "install":
        return False
    subprocess.run(["apt-get", "update", "-qq"], check=True)
    subprocess.run(["apt-get", "install", "-y", "-qq", "--no-install-recommends", *PACKAGES], check=True)
    return True


@contextmanager
def slurm(folder):
    """Have it run; yields what the environment of whoever uses it needs."""
    if os.name != "posix" or os.getuid() != 0 or not _installed():
        pytest.skip(f"needs root and {', '.join(PACKAGES)}; {VARIABLE}=install installs them")
    host, daemons = socket.gethostname().partition(".")[0], []
    for name in ("state", "spool"):
        (folder / name).mkdir(parents=True)
    config = folder / "slurm.conf"
    ports = [_free_port(), _free_port()]
    config.write_text(CONFIG.format(host=host, folder=folder, ports=ports, cpus=os.cpu_count()))
    environment = os.environ | {"SLURM_CONF": str(config)}
    try:
        Path("/run/munge").mkdir(parents=True, exist_ok=True)
        if subprocess.run(["munge", "-n"], capture_output=True).returncode:
            daemons.append(subprocess.Popen(["munged", "--foreground", "--force"], stderr=subprocess.DEVNULL))
            wait_for(lambda: subprocess.run(["munge", "-n"], capture_output=True).returncode == 0)
        for words in (["slurmctld", "-D"], ["slurmd", "-D", "-N", host]):
            daemons.append(subprocess.Popen(words, env=environment, stderr=subprocess.DEVNULL))
        idle = ["sinfo", "--noheader", "--format=%T"]
        wait_for(lambda: "idle" in subprocess.run(idle, env=environment, capture_output=True, text=True).stdout)
        yield {"SLURM_CONF": str(config)}
    finally:
        for daemon in reversed(daemons):
            daemon.terminate()
            daemon.wait(30)
