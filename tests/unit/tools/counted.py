"""Runs the tests of a module and tells their counts as the programs in C do."""
import sys
import unittest


def main(module):
    """All of the module's tests, or those whose name or file holds the word of the command line."""
    word = sys.argv[1] if len(sys.argv) > 1 else ""
    suite = unittest.TestSuite()
    for group in unittest.defaultTestLoader.loadTestsFromModule(module):
        for case in group:
            if word in case.id() or word in module.__file__:
                suite.addTest(case)
    result = unittest.TextTestRunner(stream=sys.stdout).run(suite)
    bad, skipped = len(result.failures) + len(result.errors), len(result.skipped)
    print(f"counts: passed={result.testsRun - bad - skipped} failed={bad} skipped={skipped}")
    sys.exit(1 if bad else 0)
