#include "os/dns.h"

#include "os/clock.h"
#include "tests/lib/test.h"

/* The loop runs on the test's own thread until the answer is there. */
struct asking {
    struct loop *loop;
    struct loop_timer *timer;
    struct net_address addresses[64];
    size_t count;
    int answers;
    bool failed;
};

static void on_answer(void *subject, const struct net_address *addresses, size_t count,
                      const char *failure)
{
    struct asking *asking = subject;
    for (size_t i = 0; i < count; i++)
        asking->addresses[i] = addresses[i];
    asking->count = count;
    asking->failed = count == 0 && failure[0];
    asking->answers++;
    loop_stop(asking->loop);
}

static void give_up(void *subject) { loop_stop(((struct asking *)subject)->loop); }

static struct asking ask(const char *host, uint16_t port)
{
    struct asking asking = { .loop = loop_open() };
    struct loop_timer *timer = loop_timer_open(asking.loop, give_up, &asking);

    loop_timer_start(timer, 30000, 0);
    CHECK(dns_ask(asking.loop, str_of_z(host), port, on_answer, &asking));
    loop_run(asking.loop);
    loop_timer_close(timer);
    loop_close(asking.loop);
    return asking;
}

TEST(a_name_gives_each_of_its_addresses_once_with_the_port)
{
    struct asking asking = ask("localhost", 8080);
    bool has_loopback = false;

    CHECK_INT(asking.answers, 1);
    CHECK(asking.count > 0);
    for (size_t i = 0; i < asking.count; i++) {
        CHECK_INT(asking.addresses[i].port, 8080);
        has_loopback = has_loopback || strcmp(asking.addresses[i].text, "127.0.0.1") == 0 ||
                       strcmp(asking.addresses[i].text, "::1") == 0;
        for (size_t j = 0; j < i; j++)
            CHECK(!net_address_equal(&asking.addresses[i], &asking.addresses[j]));
    }
    CHECK(has_loopback);
}

TEST(an_address_is_its_own_answer_and_a_name_that_is_none_has_a_reason)
{
    struct asking asking = ask("192.0.2.7", 80);
    CHECK_INT(asking.count, 1);
    CHECK_STR((const char *)asking.addresses[0].text, "192.0.2.7");

    asking = ask("no-such-host.invalid", 80);
    CHECK_INT(asking.answers, 1);
    CHECK_INT(asking.count, 0);
    CHECK(asking.failed);
}

TEST(a_question_that_was_dropped_is_not_answered_and_the_loop_can_close)
{
    struct asking asking = { .loop = loop_open() };

    dns_drop(dns_ask(asking.loop, STR("localhost"), 80, on_answer, &asking));
    dns_drop(NULL);
    loop_close(asking.loop);
    CHECK_INT(asking.answers, 0);
}
