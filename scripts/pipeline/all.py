"""Runs the stages of a service one after the other, and sums what they count."""
import pathlib
import re
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parents[2]
STAGES = ("lint", "build", "unit", "contracts", "image", "sbom", "scan", "sign", "deploy", "e2e", "promote")
COUNTS = re.compile(r"^counts: passed=(\d+) failed=(\d+) skipped=(\d+)\s*$", re.M)


def run(stage, service):
    """(exit code, counts) of a stage; its output goes on as it comes."""
    print(f"==== {stage} of {service}", flush=True)
    process = subprocess.Popen(["make", "--silent", f"pipe-{stage}", f"SERVICE={service}"], cwd=ROOT, text=True, stdout=subprocess.PIPE)
    text = ""
    for line in process.stdout:
        text += line
        print(line, end="", flush=True)
    code, found = process.wait(), COUNTS.findall(text)
    return code, [int(number) for number in found[-1]] if found else [0, 0, 0]


def main(service):
    total, ended = [0, 0, 0], []
    for stage in STAGES:
        code, counts = run(stage, service)
        if code != 0 and not counts[1]:
            counts[1] = 1
        total = [a + b for a, b in zip(total, counts)]
        ended.append(f"  {stage:10} {'failed' if code else 'skipped' if counts[2] and not counts[0] else 'passed'}")
        if code:
            break
    print(f"\nStages of {service}:", *ended, sep="\n")
    print(f"{total[0]} passed, {total[1]} failed, {total[2]} skipped")
    return 1 if total[1] else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
