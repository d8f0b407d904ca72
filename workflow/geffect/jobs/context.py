"""What every job sets up before it computes: logging, its record, one-line errors."""

import contextlib
import logging
import signal
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from geffect import files
from geffect.errors import DamagedError, GeffectError
from geffect.jobs import engine, records
from geffect.messages import log, shown_by


@contextlib.contextmanager
def job(name: str, log_path: str | Path, of_run: bool = True) -> Iterator[None]:
    """Logs to stderr and to `log_path`, keeps a record beside it, turns errors into one line.

    Args:
        of_run: whether it is a job of a run, whose log lies in `results/RUN/logs`. Only then is a
            damaged file or folder of that run set aside; whatever else is damaged is the user's.

    Raises:
        SystemExit: with status 1, after a `GeffectError` was logged as one line; among them that
            another job, which is still alive, holds the same record (`records.recorded`); with
            status 130 after Ctrl-C.
    """
    Path(log_path).parent.mkdir(parents=True, exist_ok=True)
    form = f"[%(asctime)s {name}] %(message)s", "%H:%M:%S"
    started = time.monotonic()
    with contextlib.ExitStack() as handlers:
        handlers.enter_context(shown_by(logging.StreamHandler(sys.stderr), *form))
        try:
            with records.recorded(records.record_path(log_path), name):
                # Only now: a job that is refused must not empty the log of the one at work.
                file = logging.FileHandler(log_path, mode="w")
                handlers.enter_context(shown_by(file, *form))
                yield
                log.info("done in %.1f s", time.monotonic() - started)
        except GeffectError as error:
            log.error("error: %s", error)
            if (
                of_run
                and isinstance(error, DamagedError)
                and _run_folder(log_path) in error.path.parents
            ):
                log.error("renamed to %s: the next run makes it again", files.set_aside(error.path))
            raise SystemExit(1) from None
        except KeyboardInterrupt:
            log.error(
                "interrupted; the next run continues from the last saved state, if there is one"
            )
            raise SystemExit(128 + signal.SIGINT) from None
        except Exception:
            log.exception("failed")
            raise


@contextlib.contextmanager
def computing(stage: str, name: str, script: Any) -> Iterator[Any]:
    """A `job` that computes with torch: yields the device that is prepared for it.

    Args:
        stage: of the job.
        script: has the rule's `params`, `wildcards`, `log` and `config`.

    Raises:
        SystemExit: as `job`; among the errors are those of `engine.prepared`.
    """
    with job(name, script.log[0]):
        yield engine.prepared(stage, script)


def work(log_path: str | Path) -> Path:
    """Where a job that logs to `results/RUN/logs/JOB.log` may leave its state: work/JOB."""
    run = _run_folder(log_path)
    return run / "work" / Path(log_path).with_suffix("").relative_to(run / "logs")


def _run_folder(log_path: str | Path) -> Path:
    return next(parent.parent for parent in Path(log_path).parents if parent.name == "logs")
