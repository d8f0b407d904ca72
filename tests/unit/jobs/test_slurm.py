"""Slurm's commands: how they are asked, and what is made of their answers."""

from geffect.jobs import slurm as module


def test_jobs_are_asked_for_in_one_question_without_headers(slurm):
    slurm.queue = [(1, "RUNNING", "a"), (2, "COMPLETING", "a"), (3, "PENDING", "b")]
    assert module.alive(["2", "1", "4", "1"]) == {"1", "2"}
    assert module.alive(["1", "2"], ending=False) == {"1"}
    assert module.alive_by_name(["b", "a"]) == {"1", "2", "3"}
    assert module.alive([]) == module.alive_by_name([]) == set()
    asked = slurm.calls("squeue")
    assert [call.split("--")[-1].split() for call in asked] == [
        ["jobs", "1,2,4"],
        ["jobs", "1,2"],
        ["name", "a,b"],
    ]
    assert all("--noheader" in call or " -h " in call for call in asked)


def test_states_are_asked_of_accounting_in_columns_that_are_read(slurm):
    slurm.accounting(("7", "TIMEOUT"), ("7.batch", "CANCELLED by 0"), ("8", "COMPLETED"))
    assert module.states(["8", "7"]) == {"7": {"TIMEOUT", "CANCELLED"}, "8": {"COMPLETED"}}
    assert slurm.calls("sacct") == ["sacct -n -P -o JobIDRaw,State -j 7,8"]
    assert module.states([]) == {} and len(slurm.calls("sacct")) == 1


def test_the_log_of_a_job_is_where_slurm_says(slurm):
    assert module.log_path("5") == str(slurm.folder / "5.log")
    slurm.broken("scontrol", "Invalid job id")
    assert module.log_path("5") is None
