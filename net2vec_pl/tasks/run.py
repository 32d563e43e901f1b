"""``task=run``: freeze a network, learn a vector per concept, compare it with the best filter."""

import logging
from pathlib import Path

from net2vec_pl import processes
from net2vec_pl.activations.cache_folder import make_root
from net2vec_pl.config import Config
from net2vec_pl.config.folder import command, taken
from net2vec_pl.config.plan import Plan
from net2vec_pl.job import do_job
from net2vec_pl.pipeline.devices import choose_gpu
from net2vec_pl.pipeline.launch import launched
from net2vec_pl.pipeline.trainers import quiet_lightning, trainer_from
from net2vec_pl.runs import finished
from net2vec_pl.runs.folder import tidy
from net2vec_pl.tracking import job_log

_log = logging.getLogger(__name__)


def run(config: Config) -> None:
    """Do the whole job of a configuration and leave a run folder.

    Args:
        config: The composed tree of conf/.

    Raises:
        Net2VecError: If anything the user gave cannot be used.
    """
    quiet_lightning()
    plan = Plan(config)
    options, questions, tracking = plan.options, plan.questions, plan.tracking
    if config.run.resume and finished(folder := Path(config.run.dir)):
        _log.info("%s has already finished; nothing to do", folder)
        tidy(folder)
        return
    subject = plan.subject
    choose_gpu(options.trainer)
    trainer = trainer_from(options.trainer, options.protocol.epochs)
    with (
        launched(trainer),
        taken(config) as folder,
        job_log(tracking, plan.whole, folder) as log,
    ):
        if options.cache == "disk":
            processes.from_first(lambda: make_root(options.cache_dir))
        device = trainer.strategy.root_device
        do_job(subject, options, questions, folder, device, log, command())
