"""A job ends with the process that started it."""

import os
import subprocess
import sys
import time

from net2vec_pl.sweeps.lifeline import LIFELINE

DEAF_AT_FIRST = """
import time
from net2vec_pl.sweeps.lifeline import hold_lifeline
hold_lifeline()
try:
    print("ready", flush=True)
    time.sleep(60)
except KeyboardInterrupt:  # as when it is lost in a callback
    print("lost", flush=True)
time.sleep(60)
"""


def test_a_job_that_loses_an_interrupt_ends_with_the_next_one() -> None:
    with subprocess.Popen(
        [sys.executable, "-c", DEAF_AT_FIRST],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=os.environ | {LIFELINE: "1"},
    ) as job:
        assert job.stdin is not None
        assert job.stdout is not None
        assert job.stdout.readline() == b"ready\n"
        begin = time.monotonic()
        job.stdin.close()
        job.wait(60)
        assert time.monotonic() - begin < 10  # what a new sweep waits for the folder
        assert job.stdout.read() == b"lost\n"
