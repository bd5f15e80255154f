"""GitHub's workflows by actionlint."""
from conftest import ROOT, run, tool


def test_actionlint_finds_nothing_in_the_workflows():
    done = run(tool("actionlint"), "-no-color", "-shellcheck=", "-pyflakes=", *sorted((ROOT / ".github/workflows").glob("*.yml")))
    assert done.returncode == 0, done.stdout


def test_actionlint_finds_what_is_planted(tmp_path):
    text = (ROOT / ".github/workflows/service.yml").read_text(encoding="utf-8")
    for planted, said in [(text.replace("needs: affected\n", "needs: afected\n", 1), "afected"),
                          (text.replace("${{ inputs.service }}", "${{ inputs.servise }}", 1), "servise"),
                          (text.replace("runs-on: ubuntu-24.04", "runs-on: ubuntu-0", 1), "ubuntu-0"),
                          (text.replace("contents: read", "contents: rite", 1), "rite")]:
        assert planted != text
        path = tmp_path / "service.yml"
        path.write_text(planted, encoding="utf-8")
        done = run(tool("actionlint"), "-no-color", "-shellcheck=", "-pyflakes=", path)
        assert done.returncode == 1 and said in done.stdout, done.stdout
