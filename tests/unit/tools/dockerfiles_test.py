"""The Dockerfiles: hadolint finds nothing in them, and they agree with each other and with the project."""
import pathlib
import re
import subprocess
import sys
import unittest

import counted

ROOT = pathlib.Path(__file__).resolve().parents[3]
HADOLINT = ROOT / "build" / "venv" / "bin" / "hadolint"
DOCKERFILES = sorted([*ROOT.glob("src/services/*/Dockerfile"), *ROOT.glob("deploy/docker/*Dockerfile")])


def judged(text):
    """What hadolint finds. DL3059 wants one RUN for all; each of ours is a step that is kept while what it needs stays."""
    return subprocess.run([HADOLINT, "--no-color", "--ignore", "DL3059", "-"], input=text, capture_output=True, text=True)


class Dockerfiles(unittest.TestCase):
    def test_there_are_six(self):
        self.assertEqual(len(DOCKERFILES), 6)

    def test_hadolint_finds_nothing_and_sees_a_planted_fault(self):
        if not HADOLINT.exists():
            self.skipTest("hadolint is not in build/venv")
        for path in DOCKERFILES:
            with self.subTest(path=path):
                done = judged(path.read_text())
                self.assertEqual((done.returncode, done.stdout), (0, ""))
        done = judged(DOCKERFILES[0].read_text().replace("debian:bookworm", "debian:latest"))
        self.assertEqual(done.returncode, 1)
        self.assertIn("DL3007", done.stdout)

    def test_they_build_alike_up_to_the_program(self):
        first = {re.sub("#.*\n", "", path.read_text()).split("RUN scripts/image-root")[0] for path in DOCKERFILES}
        self.assertEqual(len(first), 1)

    def test_their_version_is_the_projects(self):
        version = re.search(r"version: '([^']+)'", (ROOT / "meson.build").read_text()).group(1)
        for path in DOCKERFILES:
            self.assertIn(f'image.version="{version}"', path.read_text(), path)

    def test_each_starts_the_program_that_it_lays_out_as_nobody(self):
        for path in DOCKERFILES:
            text = path.read_text()
            program = re.search("image-root (.*) /image", text).group(1)
            self.assertIn(f'ENTRYPOINT ["/{program}"]', text)
            self.assertIn("\nUSER 65532:65532\n", text)
            self.assertIn("\nVOLUME /data\n", text)
            if program != "dukactl":
                self.assertIn(f'CMD ["/{program}", "health"]', text)
                self.assertIn("\nEXPOSE 3000\n", text)

    def test_how_each_is_built_stands_above_it(self):
        for path in DOCKERFILES:
            name = re.search('image.title="(.*)"', path.read_text()).group(1)
            self.assertIn(f"#   docker build -t {name}:1.0 -f {path.relative_to(ROOT)} .\n", path.read_text())


if __name__ == "__main__":
    counted.main(sys.modules[__name__])
