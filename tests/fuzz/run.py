"""Fuzzes one target by Atheris: `run.py TARGET SECONDS`. What leads somewhere new is kept in the target's corpus."""

import logging
import sys
from pathlib import Path

import atheris
import structlog

FOLDER = Path(__file__).parent


def main(name: str, seconds: int) -> None:
    """Fuzz a target; ends with another code than 0 where there is a finding, which is then in the corpus' folder."""
    sys.path.insert(0, str(FOLDER.parent))
    with atheris.instrument_imports(include=["statefulroute", "fuzz"]):
        from fuzz.targets import TARGETS  # noqa: PLC0415 - it is instrumented while it is imported
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))  # millions of lines
    corpus = FOLDER / "corpus" / name
    corpus.mkdir(parents=True, exist_ok=True)
    options = [f"-max_total_time={seconds}", "-max_len=4096", "-timeout=10", "-print_final_stats=1"]
    atheris.Setup([sys.argv[0], str(corpus), f"-artifact_prefix={corpus}/finding-", *options], TARGETS[name])
    atheris.Fuzz()


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
