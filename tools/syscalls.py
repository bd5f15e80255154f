"""Writes the names of the kernel's calls by their numbers, as the compiler's headers have them: syscalls.py OUT COMPILER…"""
import pathlib
import re
import subprocess
import sys

BIGGEST = 4096  # what lies above is of another architecture, or of none


def main(out, compiler):
    done = subprocess.run([*compiler, "-E", "-dM", "-include", "sys/syscall.h", "-x", "c", "/dev/null"],
                          check=True, capture_output=True, text=True)
    names = set(re.findall(r"^#define SYS_(\w+) ", done.stdout, re.M))
    # The number is the compiler's business: a name may stand for an expression.
    lines = [f"#if SYS_{name} < {BIGGEST}\nCALL({name})\n#endif" for name in sorted(names)]
    pathlib.Path(out).write_text("\n".join(lines) + "\n")


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2:])
