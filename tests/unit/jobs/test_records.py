"""Job records and claims: what is kept, who may write, and that of many takers one wins."""

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from geffect.errors import DataError, JobError
from geffect.jobs import records
from geffect.jobs.context import job

LIBRARY = str(Path(records.__file__).parents[2])
# A job in a process of its own; it says "in" once it has the claim, and ends when stdin closes.
JOB = """
import sys
from geffect.jobs.context import job
with job("other", sys.argv[1]):
    print("in", flush=True)
    sys.stdin.read()
"""


def start(log, script=JOB):
    return subprocess.Popen(
        [sys.executable, "-c", script, str(log)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": LIBRARY},
    )


@pytest.fixture
def log(tmp_path):
    return tmp_path / "logs" / "phi-1.5_forget05_wga+kl_seed42.log"


@pytest.fixture
def killed(log):
    """A job was killed and has left its record."""
    victim = start(log)
    assert victim.stdout.readline() == "in\n"
    victim.send_signal(signal.SIGKILL)
    victim.wait()
    return records.read(records.record_path(log))


def test_a_finished_job_leaves_a_record_of_what_it_took(log):
    with job("unlearn", log):
        during = records.read(records.record_path(log))
        assert during["state"] == "running" and during["ended"] is None
        time.sleep(0.2)
    record = records.read(log.with_name("phi-1.5_forget05_wga+kl_seed42.json"))
    assert (record["name"], record["state"], record["error"]) == ("unlearn", "done", None)
    assert record["pid"] == os.getpid() and record["attempt"] == 1
    assert during["started"] == record["started"] <= record["ended"]
    assert record["wall_seconds"] >= 0.2 and record["peak_memory_mib"] > 1
    assert [path.suffix for path in sorted(log.parent.iterdir())] == [".json", ".log"]


def test_what_a_job_imports_before_its_record_counts_as_its_time():
    code = "import geffect, time; time.sleep(0.3); from geffect.jobs.records import usage"
    code += "; print(usage()['wall_seconds'])"
    run = subprocess.run(
        [sys.executable, "-c", code],
        env=os.environ | {"PYTHONPATH": LIBRARY},
        capture_output=True,
        text=True,
        check=True,
    )
    assert float(run.stdout) >= 0.3


def test_a_fork_counts_its_own_time():
    reading, writing = os.pipe()
    time.sleep(0.3)
    before = records.usage()["wall_seconds"]
    if (child := os.fork()) == 0:
        os.write(writing, str(records.usage()["wall_seconds"]).encode())
        os._exit(0)
    os.waitpid(child, 0)
    assert float(os.read(reading, 20)) < 0.3 <= before


@pytest.mark.parametrize(
    ("error", "raised", "text"),
    [
        (DataError("rows.json, row 3: no answer; add it"), SystemExit, "rows.json, row 3: no"),
        (KeyError("q"), KeyError, "KeyError: 'q'"),
        (RuntimeError("many\n  lines"), RuntimeError, "RuntimeError: many lines"),
        (KeyboardInterrupt(), SystemExit, "interrupted (Ctrl-C)"),
    ],
)
def test_a_failed_job_says_why_in_one_line(error, raised, text, log):
    with pytest.raises(raised), job("x", log):
        raise error
    record = records.read(records.record_path(log))
    assert record["state"] == "failed" and record["error"].startswith(text)
    assert "\n" not in record["error"]


def test_attempts_are_counted_over_failures_and_kills(log, killed):
    assert (killed["state"], killed["attempt"]) == ("running", 1)
    assert not records.alive(killed)
    with pytest.raises(KeyError), job("x", log):
        raise KeyError
    with job("x", log):
        pass
    assert records.read(records.record_path(log))["attempt"] == 3


def test_a_second_job_ends_at_once_names_the_first_and_leaves_its_files_alone(log, capsys):
    first = start(log)
    assert first.stdout.readline() == "in\n"
    log.write_text("what the first job wrote\n")
    record = records.record_path(log).read_bytes()
    with pytest.raises(SystemExit), job("second", log):
        pytest.fail("two jobs write the same cell")
    said = capsys.readouterr().err
    assert f"process {first.pid} on " in said and f"kill {first.pid}" in said
    assert "./restart" in said and said.count("\n") == 1
    assert log.read_text() == "what the first job wrote\n"
    assert records.record_path(log).read_bytes() == record
    first.communicate("")
    assert first.returncode == 0
    assert records.read(records.record_path(log))["state"] == "done"


def test_a_process_that_reuses_the_pid_of_a_dead_owner_is_not_its_owner(log, killed):
    record = {**killed, "pid": os.getpid()}
    assert not records.alive(record)
    assert records.alive({**record, "process": records.process_start(os.getpid())})


def test_a_zombie_is_dead():
    child = subprocess.Popen([sys.executable, "-c", ""], stdout=subprocess.PIPE)
    child.stdout.read()
    deadline = time.monotonic() + 30
    while records.process_start(child.pid) is not None:
        assert time.monotonic() < deadline
    assert child.wait() == 0


def test_after_a_job_was_done_attempts_count_from_the_first(log):
    path = records.record_path(log)
    path.parent.mkdir()
    attempts = []
    for fails in (True, True, False, False, True, False):
        with contextlib.suppress(ValueError), records.recorded(path, "again"):
            if fails:
                raise ValueError
        attempts.append(records.read(path)["attempt"])
    assert attempts == [1, 2, 3, 1, 1, 2]


# Waits for a moment that all takers share, so that they are in the critical part together.
RACER = """
import sys, time
from geffect.jobs import records
path, moment = sys.argv[1].split("@")
real = records.process_start
records.process_start = lambda pid: (time.sleep(0.002), real(pid))[1]
while time.time() < float(moment):
    pass
try:
    record = records.claim(path, "racer", records._refuse_living_job)
    print("won", record["attempt"], flush=True)
    sys.stdin.read()
except records.JobError:
    print("refused", flush=True)
"""


@pytest.mark.parametrize("dead_claims", [0, 2])
def test_of_jobs_that_take_over_at_once_exactly_one_wins(log, killed, dead_claims):
    path = records.record_path(log)
    owner = {name: killed[name] for name in records.this_process()}
    for number in range(2, 2 + dead_claims):  # of jobs that died between claim and record
        path.with_name(f"{path.name}.claim-{number}").write_text(json.dumps(owner))
    racers = [start(f"{path}@{time.time() + 1.0}", RACER) for _ in range(6)]
    said = [racer.stdout.readline().split() for racer in racers]
    for racer in racers:
        racer.communicate("")
    assert sorted(words[0] for words in said) == ["refused"] * 5 + ["won"], said
    assert ["won", str(2 + dead_claims)] in said
    assert not list(path.parent.glob("*claim*"))


def test_a_slow_taker_that_missed_a_whole_job_does_not_win(log, killed, monkeypatch):
    """It creates the claim of an attempt whose claim has already become a record and gone."""
    path, create = records.record_path(log), records._created
    between = []

    def slow(claim, owner):
        if not between:
            between.append(claim)
            with records.recorded(path, "the whole other job"):
                pass
        return create(claim, owner)

    monkeypatch.setattr(records, "_created", slow)
    record = records.claim(path, "slow", records._refuse_living_job)
    assert record["attempt"] == 1, "counted since the other was done"
    assert not list(path.parent.glob("*claim*"))


def away(record, slurm_job):
    return {**record, "host": "another-host", "slurm_job": slurm_job}


def rewrite(log, record):
    records.write_whole(records.record_path(log), json.dumps(record))


@pytest.mark.parametrize("state", ["RUNNING", "PENDING"])
def test_a_slurm_job_on_another_host_keeps_its_claim_while_the_queue_has_it(
    state, log, killed, slurm, capsys
):
    slurm.queue = [(77, state, "run")]
    rewrite(log, away(killed, "77"))
    with pytest.raises(SystemExit), job("x", log):
        pytest.fail("took over from a living job")
    assert "Slurm job 77, process" in (said := capsys.readouterr().err) and "scancel 77" in said


def test_a_slurm_job_that_is_about_to_end_is_waited_for(log, killed, slurm, monkeypatch, capsys):
    monkeypatch.setattr(records, "_GRACE", 0.2)
    monkeypatch.setattr(records, "_PAUSE", 0.1)
    slurm.queue = [(77, "COMPLETING", "run")]
    rewrite(log, away(killed, "77"))
    with pytest.raises(SystemExit), job("x", log):
        pytest.fail("took over from a living job")
    assert "scancel 77" in capsys.readouterr().err
    monkeypatch.setattr(records, "_GRACE", 60.0)
    monkeypatch.setattr(records.time, "sleep", lambda seconds: setattr(slurm, "queue", []))
    with job("x", log):
        pass
    assert records.read(records.record_path(log))["attempt"] == 2


@pytest.mark.parametrize("queue", [[], [(77, "TIMEOUT", "run")], [(78, "RUNNING", "run")]])
def test_a_slurm_job_that_has_left_the_queue_can_be_followed(queue, log, killed, slurm):
    slurm.queue = queue
    rewrite(log, away(killed, "77"))
    with job("x", log):
        pass
    assert records.read(records.record_path(log))["attempt"] == 2


def test_a_requeued_slurm_job_takes_over_from_itself(log, killed, slurm, monkeypatch):
    slurm.queue = [(77, "RUNNING", "run")]
    monkeypatch.setenv("SLURM_JOB_ID", "77")
    rewrite(log, away(killed, "77"))
    with job("x", log):
        pass
    record = records.read(records.record_path(log))
    assert (record["slurm_job"], record["slurm_log"]) == ("77", slurm.log(77))


def test_where_an_owner_cannot_be_looked_at_it_is_not_robbed(log, killed, slurm, capsys):
    slurm.broken("squeue", "Unable to contact slurm controller")
    for number in ("77", None):
        rewrite(log, away(killed, number))
        with pytest.raises(SystemExit), job("x", log):
            pytest.fail("took over from an owner that may be alive")
        said = capsys.readouterr().err
        assert f"delete {records.record_path(log)}" in said and said.count("\n") == 1


def test_a_file_that_is_no_record_is_named(log):
    log.parent.mkdir()
    records.record_path(log).write_text("{")
    with pytest.raises(JobError, match=r"seed42\.json: not a record"):
        records.read(records.record_path(log))


def test_readers_never_see_a_part_of_a_record(tmp_path):
    path, texts = tmp_path / "record.json", ["a" * 100_000, "b" * 200_000]
    records.write_whole(path, texts[0])
    script = (
        "import sys\nfrom geffect.jobs import records\n"
        "for _ in range(200):\n"
        "    for text in ('b' * 200_000, 'a' * 100_000):\n"
        "        records.write_whole(sys.argv[1], text)\n"
    )
    writer = start(path, script)
    while writer.poll() is None:
        assert path.read_text() in texts
    assert writer.returncode == 0 and list(tmp_path.iterdir()) == [path]
