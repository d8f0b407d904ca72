"""snakemake, but its jobs are looked at every second.

The Slurm plugin waits 10 seconds longer after every look at which no job had ended, and has no
setting for that: most of a run of short jobs would be waiting.
"""

import asyncio

from snakemake import cli
from snakemake_interface_executor_plugins.executors.remote import RemoteExecutor


async def a_second(executor):
    await asyncio.sleep(1)


RemoteExecutor.sleep = a_second
cli.main()
