"""`python -m benchmarks`: measure, then write results/ here. `--help` lists the options."""

import argparse
import logging
import os
from pathlib import Path

HERE = Path(__file__).parent


def main() -> None:
    """Settle on one core and one thread before anything that counts cores is imported."""
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    load = os.getloadavg()[0] if hasattr(os, "getloadavg") else None
    cores = sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else []
    if cores:
        os.sched_setaffinity(0, cores[-1:])
    os.environ |= {"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1", "JAX_PLATFORMS": "cpu"}
    os.environ["XLA_FLAGS"] = "--xla_cpu_multi_thread_eigen=false"

    options = parse()
    import torch

    from benchmarks import report, scaling, speed
    from bnstudy.files import atomic, read_csv, write_csv, write_json
    from bnstudy.report.style import save

    torch.set_num_threads(1)
    results = options.output
    machine = report.machine(load)
    write_json(results / "machine.json", machine | {"options": vars(options) | {"output": ""}})
    samples, missing = speed.measure(
        options.systems, options.widths, options.replicates, options.repeats, options.seconds
    )
    summary = speed.summarise(samples)
    write_csv(results / "samples.csv", samples)
    write_csv(results / "speed.csv", summary)
    for suffix in ("svg", "png"):
        save(report.draw(summary), results / f"speed.{suffix}", preview=False)
    table = report.speed_table(summary, missing, machine)
    with atomic(results / "speed.md") as temporary:
        temporary.write_text(table)
    print(table, flush=True)

    if not options.no_scaling:
        if cores:
            os.sched_setaffinity(0, cores)
        write_csv(results / "scaling.csv", scaling.measure(cores, min(5, options.repeats)))
    elif not (results / "scaling.csv").exists():
        return
    targets = report.targets_table(summary, read_csv(results / "scaling.csv"), machine)
    with atomic(results / "targets.md") as temporary:
        temporary.write_text(targets)
    print(targets)


def parse() -> argparse.Namespace:
    """The options; the defaults take about ten minutes."""
    from benchmarks.systems import SYSTEMS

    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    add = parser.add_argument
    add("--widths", type=int, nargs="+", default=[10, 30, 100, 300, 1000])
    at = "the first at all widths, the others at 10 and 300 only"
    add("--replicates", type=int, nargs="+", default=[10, 1, 30], help=at)
    add("--repeats", type=int, default=7)
    add("--seconds", type=float, default=0.2, help="a sample lasts, or two epochs")
    add("--systems", nargs="+", default=list(SYSTEMS), choices=list(SYSTEMS))
    add("--no-scaling", action="store_true", help="only the systems against each other")
    add("--output", type=Path, default=HERE / "results")
    return parser.parse_args()


if __name__ == "__main__":
    main()
