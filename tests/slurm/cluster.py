"""A private Slurm of one machine in one folder: two partitions; two A100s and 512 GB are pretended.

    python tests/slurm/cluster.py start FOLDER [--accounting]
    python tests/slurm/cluster.py stop FOLDER

Nothing outside the folder is read or written, and the ports are free ones, so that several clusters
can run beside one another. `start` prints the variables that a shell needs.
"""

import argparse
import getpass
import os
import shlex
import shutil
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

PROGRAMS = ("munged", "slurmctld", "slurmd", "srun", "sbatch")
ACCOUNTING_PROGRAMS = ("mariadb-install-db", "mariadbd", "slurmdbd", "sacct")
ACCOUNT = "research"  # as in the SITE lines of slurm/config.yaml; so are the partitions

SLURM_CONF = """\
ClusterName=private
SlurmctldHost=localhost
SlurmUser={user}
SlurmdUser={user}
CommunicationParameters=NoInAddrAny,NoCtldInAddrAny
AuthType=auth/munge
AuthInfo=socket={folder}/munge.sock
CredType=cred/munge
SlurmctldPort={ports[0]}
SlurmdPort={ports[1]}
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.pid
MailProg=/bin/true
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
MpiDefault=none
JobAcctGatherType=jobacct_gather/linux
JobAcctGatherFrequency=task=2
JobAcctGatherParams=OverMemoryKill
SlurmdParameters=config_overrides
ReturnToService=2
SlurmdTimeout=20
SchedulerType=sched/backfill
SchedulerParameters=batch_sched_delay=0,sched_interval=5,bf_interval=5,sched_min_interval=0
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU_Memory
KillWait=5
{accounting}
GresTypes=gpu
NodeName=localhost NodeAddr=127.0.0.1 CPUs=8 RealMemory=512000 Gres=gpu:a100:2 State=UNKNOWN
PartitionName=cpu Nodes=ALL Default=YES MaxTime=INFINITE State=UP DefMemPerCPU=1000
PartitionName=gpu Nodes=ALL Default=NO MaxTime=INFINITE State=UP DefMemPerCPU=1000
"""

ACCOUNTING_CONF = """\
AccountingStorageType=accounting_storage/slurmdbd
AccountingStorageHost=localhost
AccountingStoragePort={ports[2]}
AccountingStoragePass={folder}/munge.sock
AccountingStorageTRES=gres/gpu,gres/gpu:a100
AccountingStoreFlags=job_comment"""

NO_ACCOUNTING_CONF = "AccountingStorageType=accounting_storage/none"

SLURMDBD_CONF = """\
AuthType=auth/munge
AuthInfo=socket={folder}/munge.sock
DbdHost=localhost
DbdPort={ports[2]}
SlurmUser={user}
StorageType=accounting_storage/mysql
StorageHost=localhost
StorageUser={user}
PidFile={folder}/slurmdbd.pid
"""

# Slurm wants a device per GPU, and these are always there.
GRES_CONF = "Name=gpu Type=a100 File=/dev/null,/dev/zero\n"

# Snakemake's jobstep plugin takes SLURM_CONF away before it calls srun.
SRUN = """\
#!/bin/sh
SLURM_CONF={folder}/slurm.conf exec {srun} "$@"
"""


class ClusterError(Exception):
    """A daemon did not start or stop in time."""


def missing(accounting: bool = False) -> list[str]:
    """The programs that a cluster needs and this machine lacks."""
    wanted = [*PROGRAMS, *(ACCOUNTING_PROGRAMS if accounting else ())]
    return [name for name in wanted if _program(name) is None]


class Cluster:
    """A cluster in a folder; as a context manager, started and stopped.

    Args:
        folder: an absolute path of at most 80 characters (it holds sockets).
        accounting: whether slurmdbd keeps the jobs in a database, as most real clusters do.
    """

    def __init__(self, folder, accounting: bool = False):
        self.folder = Path(folder).resolve()
        self.accounting = accounting

    def __enter__(self):
        self.start()
        return self

    def __exit__(self, *_):
        self.stop()

    @property
    def environment(self) -> dict[str, str]:
        """What a process needs in its environment to talk to this cluster."""
        path = os.pathsep.join([str(self.folder / "bin"), os.environ["PATH"]])
        return {"SLURM_CONF": str(self.folder / "slurm.conf"), "PATH": path}

    def run(self, *command) -> str:
        """The output of a Slurm command.

        Raises:
            subprocess.CalledProcessError: if it fails.
        """
        result = subprocess.run(
            [_program(command[0]), *map(str, command[1:])],
            env={**os.environ, **self.environment},
            capture_output=True,
            text=True,
            check=True,
        )
        return result.stdout

    def start(self):
        """Starts every daemon and waits until a job could run.

        Raises:
            ClusterError: if the folder holds a cluster; with the end of the log of what did not
                start, and then nothing is left running.
        """
        if (self.folder / "slurm.conf").exists():
            raise ClusterError(f"{self.folder} holds a cluster: stop it and delete the folder")
        self._write()
        try:
            self._start_munged()
            if self.accounting:
                self._start_database()
            self._daemon("slurmctld", [_program("slurmctld"), "-D"], self._answers("scontrol ping"))
            self.start_node()
        except BaseException:
            self.stop()
            raise

    def stop(self):
        """Stops what runs, jobs included; the folder stays.

        Raises:
            ClusterError: if a daemon outlives SIGKILL.
        """
        self._end("slurmd")
        self._end_jobs()
        for name in ("slurmctld", "slurmdbd", "mariadbd", "munged"):
            self._end(name)

    def start_node(self):
        """Starts slurmd alone and waits until the node takes jobs.

        Raises:
            ClusterError: with the end of its log.
        """
        command = [_program("slurmd"), "-D", "-N", "localhost"]
        self._daemon("slurmd", command, self._node_is_ready)

    def stop_node(self):
        """Stops slurmd alone, as for an update: its jobs go on.

        Raises:
            ClusterError: if it outlives SIGKILL.
        """
        self._end("slurmd")

    def lose_node(self):
        """Ends slurmd and its jobs as a power failure does, and tells slurmctld.

        Left to itself slurmctld would notice after half a minute.

        Raises:
            ClusterError: if slurmd outlives SIGKILL.
        """
        self._end("slurmd", signal.SIGKILL)
        self._end_jobs()
        self.run("scontrol", "update", "NodeName=localhost", "State=DOWN", "Reason=lost")

    def _end_jobs(self):
        while processes := self._job_processes():
            for pid in processes:
                _kill(pid, signal.SIGKILL)
            time.sleep(0.05)

    def _write(self):
        for name in ("state", "spool", "bin", "db"):
            (self.folder / name).mkdir(parents=True, exist_ok=True)
        filled = {"folder": self.folder, "user": getpass.getuser(), "ports": _free_ports(3)}
        accounting = (ACCOUNTING_CONF if self.accounting else NO_ACCOUNTING_CONF).format(**filled)
        texts = {
            "slurm.conf": SLURM_CONF.format(accounting=accounting, **filled),
            "slurmdbd.conf": SLURMDBD_CONF.format(**filled),
            "gres.conf": GRES_CONF,
            "bin/srun": SRUN.format(srun=_program("srun"), **filled),
        }
        for name, text in texts.items():
            (self.folder / name).write_text(text)
        (self.folder / "slurmdbd.conf").chmod(0o600)
        (self.folder / "bin/srun").chmod(0o755)
        key = self.folder / "munge.key"
        key.touch(mode=0o600)
        key.write_bytes(os.urandom(1024))

    def _start_munged(self):
        options = {"key-file": "key", "socket": "sock", "pid-file": "pid", "seed-file": "seed"}
        files = [f"--{option}={self.folder}/munge.{end}" for option, end in options.items()]
        command = [_program("munged"), "--foreground", "--force", *files]
        self._daemon("munged", command, (self.folder / "munge.sock").is_socket)

    def _start_database(self):
        user, data = getpass.getuser(), self.folder / "db"
        common = ["--no-defaults", f"--user={user}", f"--datadir={data}"]
        install = [
            _program("mariadb-install-db"),
            *common,
            "--auth-root-authentication-method=socket",
            f"--auth-root-socket-user={user}",
            "--skip-test-db",
        ]
        with open(self.folder / "mariadbd.log", "w") as log:
            if subprocess.run(install, stdout=log, stderr=log, check=False).returncode != 0:
                raise self._error("mariadb-install-db failed", "mariadbd")
        command = [_program("mariadbd"), *common, "--skip-networking"]
        socket_file = self.folder / "mariadb.sock"
        self._daemon("mariadbd", [*command, f"--socket={socket_file}"], socket_file.is_socket)
        self._daemon(
            "slurmdbd", [_program("slurmdbd"), "-D"], self._answers("sacctmgr -n list user")
        )
        self.run("sacctmgr", "-i", "add", "cluster", "private")
        self.run("sacctmgr", "-i", "add", "account", ACCOUNT)
        self.run("sacctmgr", "-i", "add", "user", user, f"account={ACCOUNT}")

    def _answers(self, command: str):
        def ready():
            try:
                return "DOWN" not in self.run(*command.split())
            except subprocess.CalledProcessError:
                return False

        return ready

    def _node_is_ready(self) -> bool:
        return self.run("sinfo", "-h", "-o", "%T").strip() in ("idle", "mixed", "allocated")

    def _daemon(self, name, command, ready, seconds: float = 60):
        with open(self.folder / f"{name}.log", "a") as output:
            process = subprocess.Popen(
                command,
                env={
                    **os.environ,
                    **self.environment,
                    "MYSQL_UNIX_PORT": str(self.folder / "mariadb.sock"),
                },
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,
            )
        (self.folder / f"{name}.started").write_text(str(process.pid))
        deadline = time.monotonic() + seconds
        while not ready():
            if process.poll() is not None or time.monotonic() > deadline:
                state = "did not get ready" if process.poll() is None else "ended"
                raise self._error(f"{name} {state}", name)
            time.sleep(0.05)

    def _error(self, what, name) -> ClusterError:
        log = self.folder / f"{name}.log"
        tail = "\n".join(log.read_text(errors="replace").splitlines()[-20:])
        return ClusterError(f"{what}; the end of {log}:\n{tail}")

    def _end(self, name, sign=signal.SIGTERM, seconds: float = 20):
        started = self.folder / f"{name}.started"
        if not started.exists():
            return
        pid = int(started.read_text())
        for step in (sign, signal.SIGKILL):
            if not self._is_ours(pid):
                break
            _kill(pid, step)
            deadline = time.monotonic() + seconds
            while self._is_ours(pid) and time.monotonic() < deadline:
                time.sleep(0.02)
        else:
            if self._is_ours(pid):
                raise ClusterError(f"{name} (process {pid}) does not end; see {self.folder}")
        started.unlink()

    def _is_ours(self, pid: int) -> bool:
        """Whether a process lives and belongs to this cluster (numbers are used again)."""
        return f"SLURM_CONF={self.folder}/slurm.conf" in _environ(pid)

    def _job_processes(self) -> list[int]:
        """The processes of jobs: Slurm's own, and those that hold a job's number."""
        found = []
        for pid in (int(path.name) for path in Path("/proc").iterdir() if path.name.isdigit()):
            if self._is_ours(pid) and (
                _name(pid) == "slurmstepd"
                or any(entry.startswith("SLURM_JOB_ID=") for entry in _environ(pid))
            ):
                found.append(pid)
        return found


def _program(name: str) -> str | None:
    return shutil.which(name, path=os.environ["PATH"] + ":/usr/sbin:/usr/local/sbin")


def _free_ports(number: int) -> list[int]:
    sockets = [socket.socket() for _ in range(number)]
    for one in sockets:
        one.bind(("127.0.0.1", 0))
    ports = [one.getsockname()[1] for one in sockets]
    for one in sockets:
        one.close()
    return ports


def _environ(pid: int) -> list[str]:
    """The environment that a living process was started with; a zombie has none."""
    try:
        return Path(f"/proc/{pid}/environ").read_bytes().decode(errors="replace").split("\0")
    except OSError:
        return []


def _name(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/comm").read_text().strip()
    except OSError:
        return ""


def _kill(pid: int, sign: signal.Signals):
    try:
        os.kill(pid, sign)
    except ProcessLookupError:
        return


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("action", choices=["start", "stop"])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--accounting", action="store_true", help="with slurmdbd and a database")
    arguments = parser.parse_args()
    cluster = Cluster(arguments.folder, arguments.accounting)
    if arguments.action == "stop":
        cluster.stop()
        return
    if lacking := missing(arguments.accounting):
        sys.exit(
            f"error: not installed: {', '.join(lacking)}; install slurm-wlm and munge "
            "(with --accounting also slurmdbd and mariadb-server)"
        )
    try:
        cluster.start()
    except ClusterError as error:
        sys.exit(f"error: {error}")
    for name, value in cluster.environment.items():
        print(f"export {name}={shlex.quote(value)}")


if __name__ == "__main__":
    main()
