"""A job ends with the process that started it."""

import os
import subprocess
import sys
import time

from net2vec_pl.sweeps.lifeline import LIFELINE

WAITS = """
import signal, time
signal.signal(signal.SIGINT, signal.SIG_IGN)  # as in what a shell starts in the background
from net2vec_pl.sweeps.lifeline import hold_lifeline
hold_lifeline()
try:
    print("ready", flush=True)
    time.sleep(60)
except KeyboardInterrupt:
    print("interrupted", flush=True)
"""


def test_a_job_of_a_sweep_in_the_background_ends_with_the_sweep() -> None:
    with subprocess.Popen(
        [sys.executable, "-c", WAITS],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env=os.environ | {LIFELINE: "1"},
    ) as job:
        assert job.stdin is not None
        assert job.stdout is not None
        assert job.stdout.readline() == b"ready\n"
        begin = time.monotonic()
        job.stdin.close()
        job.wait(60)
        assert time.monotonic() - begin < 10  # what a new sweep waits for the folder
        assert job.stdout.read() == b"interrupted\n"
