"""`python -m tests.chaos`: crawls with faults in their midst, round after round, on one suite of its own.

Each round is made from the seed and its number, so `--seed 7 --first 13 --rounds 1` plays round 13 of seed 7 again: the
same shop, the same fault, the same moment, as far as a machine repeats a moment.
"""

import argparse
import secrets
import signal
import sys
from collections.abc import Iterator
from pathlib import Path

from tests.chaos.arena import Arena, arena
from tests.chaos.faults import Fault, faults_of
from tests.chaos.report import read_json, table, write_json
from tests.chaos.rounds import Outcome, deck, play, play_out

_HOPELESS = 3  # rounds in a row that are not clean: what follows would tell no more


def main() -> int:
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # what was started is stopped, also then
    options = _options()
    seed = secrets.randbelow(10**6) if options.seed is None else options.seed
    numbers = range(options.first, options.first + options.rounds)
    outcomes: list[Outcome] = []
    if options.json is not None:
        try:
            outcomes = read_json(options.json, engines=options.engines, seed=seed)
        except ValueError as error:
            print(error, file=sys.stderr)
            return 2
        numbers = range(max([numbers.start, *(outcome.number + 1 for outcome in outcomes)]), numbers.stop)
    if not numbers:
        print(table(outcomes))
        return 0 if all(outcome.findings.clean for outcome in outcomes) else 1
    print(f"chaos: {len(numbers)} rounds on the {options.engines} engines, SEED={seed}", flush=True)
    with arena(options.engines, numbers) as found:
        faults = [fault for fault in faults_of(found) if options.only in fault.name]
        if not faults:
            print(f"no fault is called {options.only}", file=sys.stderr)
            return 2
        try:
            for outcome in _played(found, faults, numbers, seed):
                outcomes.append(outcome)
                if options.json is not None:
                    write_json(options.json, outcomes, engines=options.engines, seed=seed)
        except KeyboardInterrupt:
            for number in (signal.SIGINT, signal.SIGTERM):
                signal.signal(number, signal.SIG_IGN)  # another would leave the suite running
            print("stopped: what was played so far", flush=True)
        if outcomes and outcomes[-1].number == numbers[-1]:  # else a crawl may be under way still
            play_out(found, outcomes[-1].findings)
    print(f"\n{table(outcomes)}")
    return 0 if all(outcome.findings.clean for outcome in outcomes) and len(outcomes) >= options.rounds else 1


def _played(found: Arena, faults: list[Fault], numbers: range, seed: int) -> Iterator[Outcome]:
    """Ends early when several rounds in a row are not clean."""
    unclean = 0
    for number in numbers:
        outcome = play(found, deck(faults, number, seed), number, seed)
        _tell(outcome)
        yield outcome
        unclean = 0 if outcome.findings.clean else unclean + 1
        if unclean == _HOPELESS:
            print(f"{_HOPELESS} rounds in a row are not clean: stopping", flush=True)
            return


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="tests.chaos", description=__doc__)
    parser.add_argument("--rounds", type=int, default=40)
    parser.add_argument("--engines", choices=("embedded", "cluster"), default="embedded")
    parser.add_argument("--seed", type=int, help="of a run to be repeated (default: another each time)")
    parser.add_argument("--first", type=int, default=0, help="number of the first round")
    parser.add_argument("--only", default="", help="faults whose name holds this")
    parser.add_argument("--json", type=Path, help="where to write every outcome; a file that has some is gone on with")
    return parser.parse_args()


def _tell(outcome: Outcome) -> None:
    verdict = "clean" if outcome.findings.clean else "; ".join(outcome.findings.notes)
    print(f"{outcome.number:4d}  {outcome.seconds:5.1f} s  {outcome.fault}: {verdict}", flush=True)


if __name__ == "__main__":
    raise SystemExit(main())
