"""What `make test` runs of this room: a few seconds of more than it can take, beside a flood. It measures nothing: it is well meanwhile,
everybody hears an answer of ours or none, and it serves as before."""

import multiprocessing

from conftest import LOADS, Watch
from test_peers import FLOODS, connections, flood_by, pinned

from shop import until

SECONDS, RATE = 3, 1500


def test_it_is_well_beside_a_flood_and_more_than_it_can_take(overloaded, tmp_path, tell):
    shop = overloaded()
    load = LOADS["reads"](shop, tmp_path)
    fork = multiprocessing.get_context("fork")
    ended = fork.Value("q", 0)
    attacker = fork.Process(target=pinned, args=(flood_by, shop, ended, {"flood": FLOODS["rapid reset"], "peers": 4}), daemon=True)
    attacker.start()
    try:
        until(lambda: ended.value > 0, 30, "the attack to be there")
        with Watch(shop) as watch:
            done = load.run(RATE, SECONDS, patience_ms=5000)
    finally:
        attacker.kill()
        attacker.join()
    tell(f"{done['came']} came in {SECONDS} s and heard {done['statuses']}; {ended.value} connections of the flood were ended")
    assert watch.asked > 0 and watch.failures == [], watch.failures[:5]
    assert done["served"] > 0 and set(done["statuses"]) <= {"200", "429", "503"}, done
    until(lambda: load.run(20, 1)["served"] >= 18, 30, "to serve as before")
    until(lambda: connections(shop) < 50, 30, "the connections to go")
