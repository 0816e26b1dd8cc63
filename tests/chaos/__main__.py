"""`python -m tests.chaos`: runs rounds of crawls with faults on one suite.

A round is determined by its seed and number: `--seed 7 --first 13 --rounds 1` repeats round 13 of seed 7 with the same
shop, fault and delay. Only the timing of the programs differs.
"""

import argparse
import secrets
import signal
import sys
from collections.abc import Iterator
from pathlib import Path

from tests.chaos.chaos_suite import ChaosSuite, running_chaos_suite
from tests.chaos.faults import Fault, list_faults
from tests.chaos.report import read_json, table, write_json
from tests.chaos.rounds import Outcome, check_final_state, run_round, select_fault

_MAX_FAILURES = 3  # stop after this many failed rounds in a row


def main() -> int:
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # stops the suite on SIGTERM, too
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
    with running_chaos_suite(options.engines, numbers) as chaos:
        faults = [fault for fault in list_faults(chaos) if options.only in fault.name]
        if not faults:
            print(f"unknown fault {options.only}", file=sys.stderr)
            return 2
        try:
            for outcome in _run_rounds(chaos, faults, numbers, seed):
                outcomes.append(outcome)
                if options.json is not None:
                    write_json(options.json, outcomes, engines=options.engines, seed=seed)
        except KeyboardInterrupt:
            for number in (signal.SIGINT, signal.SIGTERM):
                signal.signal(number, signal.SIG_IGN)  # a second signal would leave the suite running
            print("stopped", flush=True)
        if outcomes and outcomes[-1].number == numbers[-1]:  # else a crawl may still be running
            check_final_state(chaos, outcomes[-1].findings)
    print(f"\n{table(outcomes)}")
    return 0 if all(outcome.findings.clean for outcome in outcomes) and len(outcomes) >= options.rounds else 1


def _run_rounds(chaos: ChaosSuite, faults: list[Fault], numbers: range, seed: int) -> Iterator[Outcome]:
    """Stops early when several rounds in a row are not clean."""
    failures = 0
    for number in numbers:
        outcome = run_round(chaos, select_fault(faults, number, seed), number, seed)
        _print(outcome)
        yield outcome
        failures = 0 if outcome.findings.clean else failures + 1
        if failures == _MAX_FAILURES:
            print(f"{_MAX_FAILURES} rounds in a row are not clean: stopping", flush=True)
            return


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="tests.chaos", description=__doc__)
    parser.add_argument("--rounds", type=int, default=40)
    parser.add_argument("--engines", choices=("embedded", "cluster"), default="embedded")
    parser.add_argument("--seed", type=int, help="seed of a run to repeat (default: random)")
    parser.add_argument("--first", type=int, default=0, help="number of the first round")
    parser.add_argument("--only", default="", help="only faults whose name contains this text")
    parser.add_argument("--json", type=Path, help="file for the outcomes; an existing file is continued")
    return parser.parse_args()


def _print(outcome: Outcome) -> None:
    verdict = "clean" if outcome.findings.clean else "; ".join(outcome.findings.notes)
    print(f"{outcome.number:4d}  {outcome.seconds:5.1f} s  {outcome.fault}: {verdict}", flush=True)


if __name__ == "__main__":
    raise SystemExit(main())
