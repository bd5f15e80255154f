"""More than a shop can take: open loops at ten times what it can serve, by people who give up and try again. What it serves then
is as much as at its best and as fast, it says that it is well, takes no more memory, and is as before within 5 s."""

import signal
import time

import pytest
from conftest import LOADS, NORMAL_AGAIN_S, Load, Watch, normal_again

SECONDS = 15
GOODPUT, P99 = 0.9, 2.0


@pytest.mark.parametrize("kind", LOADS)
def test_ten_times_what_it_can_take_leaves_it_serving_as_much_as_at_its_best(overloaded, tmp_path, tell, kind):
    shop = overloaded()
    load = LOADS[kind](shop, tmp_path)
    peak = load.peak(first=20 if kind == "sign-ins" else 200)
    calm = load.run(peak["goodput"] / 2, 2)
    load.run(peak["goodput"] * 10, 1, tries=3)  # what it keeps for so many connections is there before memory is looked at
    with Watch(shop) as watch:
        done = load.run(peak["goodput"] * 10, SECONDS, patience_ms=1000, tries=3)
    back = normal_again(load, peak["goodput"] / 2, 2 * calm["try_p99_ms"] + 5)
    tell(f"{kind}: peak {peak['goodput']:.0f}/s (p99 {peak['try_p99_ms']:.1f} ms); at 10 times {done['goodput']:.0f}/s "
         f"(p99 {done['try_p99_ms']:.1f} ms), heard {done['statuses']}, {done['timeouts']} gave up waiting; "
         f"memory {watch.before:.0f} -> {watch.most:.0f} MiB; probes within {watch.worst * 1000:.0f} ms; as before after {back:.1f} s")
    watch.check()
    assert done["goodput"] >= GOODPUT * peak["goodput"]
    assert done["try_p99_ms"] <= P99 * max(peak["try_p99_ms"], 10)
    assert back <= NORMAL_AGAIN_S


def test_a_storm_of_retries_after_an_outage_passes(overloaded, tmp_path, tell):
    """It stands still for 5 s while people come, give up and come again; all of them are there when it goes on."""
    shop = overloaded()
    load = LOADS["orders"](shop, tmp_path)
    peak = load.peak(first=200)
    rate = 0.6 * peak["goodput"]
    calm = load.run(rate, 2)
    with Watch(shop) as watch:
        storm = load.begin(rate, 12, patience_ms=700, tries=6)
        time.sleep(2)
        shop.process.send_signal(signal.SIGSTOP)
        time.sleep(5)
        shop.process.send_signal(signal.SIGCONT)
        done = storm()
    back = normal_again(load, rate / 2, 2 * calm["try_p99_ms"] + 5)
    tell(f"storm: {done['came']} came, {done['served']} were served, {done['timeouts']} tries gave up; as before after {back:.1f} s")
    assert watch.most - watch.before < 48 and back <= NORMAL_AGAIN_S
    assert done["served"] >= 0.9 * done["came"] * 7 / 12, "who came while it was there"


def test_a_thousand_shoppers_are_served_beside_one_bot(overloaded, tmp_path, tell):
    shop = overloaded(RATE_LIMIT="600", CONNECTIONS_PER_ADDRESS_MAX="2500")
    load = LOADS["reads"](shop, tmp_path)
    bot = Load(shop, tmp_path, "bot", "GET", "/products?q=bowl&limit=20")
    shoppers = {"addresses": 1000, "patience_ms": 2000, "tries": 1}
    alone = load.run(250, 4, **shoppers)
    with Watch(shop) as watch:
        storm = bot.begin(20_000, SECONDS + 2, tries=3, addresses=1)
        time.sleep(1)
        beside = load.run(250, SECONDS, **shoppers)
        taken = storm()
    tell(f"bot: heard {taken['statuses']}; shoppers {beside['served']} of {beside['came']}, p99 {alone['try_p99_ms']:.1f} -> "
         f"{beside['try_p99_ms']:.1f} ms")
    watch.check()
    assert alone["served"] >= 0.99 * alone["came"]
    assert beside["served"] >= 0.99 * beside["came"]
    assert beside["try_p99_ms"] <= 2 * max(alone["try_p99_ms"], 10)
    assert taken["statuses"].get("429", 0) > 1000 and taken["statuses"].get("200", 0) < 600 + 12 * SECONDS
