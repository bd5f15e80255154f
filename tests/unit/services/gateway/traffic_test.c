#include "services/gateway/traffic.h"

#include "tests/lib/test.h"

/* The value of a series in the printed metrics, as text; none where it is not there. */
static str value_of(struct test *t, const char *series)
{
    str metrics = metrics_text(t->arena, METRICS_PROMETHEUS), line;
    for (str rest = metrics; rest.ptr && (line = str_cut(&rest, '\n'), true);)
        if (str_starts(line, str_of_z(series)))
            return str_trim(str_slice(line, strlen(series), line.len));
    return STR_NONE;
}

TEST(answers_are_counted_by_route_and_status)
{
    static const char first[] = "test.first", second[] = "test.second";
    struct traffic *traffic = arena_new(t->arena, struct traffic);

    for (int i = 0; i < 3; i++)
        traffic_note(traffic, first, 200, 1000, STR_NONE);
    traffic_note(traffic, first, 404, 1000, STR_NONE);
    traffic_note(traffic, second, 200, 1000, STR_NONE);

    CHECK_STR(value_of(t, "duka_http_requests_total{route=\"test.first\",status=\"200\"}"), "3");
    CHECK_STR(value_of(t, "duka_http_requests_total{route=\"test.first\",status=\"404\"}"), "1");
    CHECK_STR(value_of(t, "duka_http_requests_total{route=\"test.second\",status=\"200\"}"), "1");
    CHECK_STR(value_of(t, "duka_http_request_duration_seconds_count{route=\"test.first\"}"), "4");
}

TEST(more_statuses_and_routes_than_are_remembered_are_counted_all_the_same)
{
    static const char route[] = "test.many";
    struct traffic *traffic = arena_new(t->arena, struct traffic);
    char names[TRAFFIC_ROUTES_MAX + 10][8];

    for (int i = 0; i < TRAFFIC_STATUSES_MAX + 5; i++)
        for (int j = 0; j < 2; j++)
            traffic_note(traffic, route, 400 + i, 1, STR_NONE);
    CHECK_STR(value_of(t, "duka_http_requests_total{route=\"test.many\",status=\"400\"}"), "2");
    CHECK_STR(value_of(t, "duka_http_requests_total{route=\"test.many\",status=\"412\"}"), "2");

    for (int i = 0; i < TRAFFIC_ROUTES_MAX + 10; i++) {
        memset(names[i], 0, sizeof names[i]);
        memcpy(names[i], "same", 4); /* other addresses, one name: one series */
        traffic_note(traffic, names[i], 200, 1, STR_NONE);
    }
    str all = str_format(t->arena, "%d", TRAFFIC_ROUTES_MAX + 10);
    CHECK_STR(value_of(t, "duka_http_requests_total{route=\"same\",status=\"200\"}"), all);
}
