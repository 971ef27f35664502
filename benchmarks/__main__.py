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

    from benchmarks import report, scaling, speed, variants
    from bnstudy.files import read_csv, write_csv, write_json
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
    write_text(results / "speed.md", report.speed_table(summary, missing, machine))
    write_text(results / "short.md", report.short_table(summary, machine))

    if not options.no_variants:
        costs = variants.measure(
            variants.VARIANTS, 100, options.replicates[0], options.repeats, options.seconds
        )
        write_csv(results / "variants.csv", costs)
    if not options.no_scaling:
        if cores:
            os.sched_setaffinity(0, cores)
        write_csv(results / "scaling.csv", scaling.measure(cores, min(5, options.repeats)))
    if not all((results / f"{name}.csv").exists() for name in ("variants", "scaling")):
        return
    measured = (read_csv(results / f"{name}.csv") for name in ("scaling", "variants"))
    write_text(results / "targets.md", report.targets_table(summary, *measured, machine))


def write_text(path: Path, text: str) -> None:
    """To the file, and to the terminal."""
    from bnstudy.files import atomic

    with atomic(path) as temporary:
        temporary.write_text(text)
    print(text, flush=True)


def parse() -> argparse.Namespace:
    """The options; the defaults take about twelve minutes."""
    from benchmarks.systems import SYSTEMS

    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    add = parser.add_argument
    add("--widths", type=int, nargs="+", default=[10, 30, 100, 300, 1000])
    at = "the first at all widths, the others at 10 and 300 only"
    add("--replicates", type=int, nargs="+", default=[10, 1, 30], help=at)
    add("--repeats", type=int, default=7)
    add("--seconds", type=float, default=0.2, help="a sample lasts, or two epochs")
    add("--systems", nargs="+", default=list(SYSTEMS), choices=list(SYSTEMS))
    add("--no-variants", action="store_true", help="not what other settings cost")
    add("--no-scaling", action="store_true", help="not how cost grows, nor memory")
    add("--output", type=Path, default=HERE / "results")
    return parser.parse_args()


if __name__ == "__main__":
    main()
