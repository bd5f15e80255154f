#include "chassis/grpc_health.h"

#include "tests/lib/test.h"

static bool ready_of(void *subject) { return *(bool *)subject; }

TEST(a_service_serves_while_it_is_ready_and_the_door_does_not_drain)
{
    bool users = true, orders = true;
    struct grpc_served served[] = { { "users.v1.Users", ready_of, &users },
                                    { "orders.v1.Orders", ready_of, &orders } };
    str one = STR("orders.v1.Orders"), other = STR("users.v1.Users"), all = STR("");

    CHECK(grpc_health_of(served, 2, false, one) == GRPC_HEALTH_SERVING);
    CHECK(grpc_health_of(served, 2, false, all) == GRPC_HEALTH_SERVING);
    CHECK(grpc_health_of(served, 2, false, STR("nobody")) == GRPC_HEALTH_SERVICE_UNKNOWN);
    orders = false;
    CHECK(grpc_health_of(served, 2, false, one) == GRPC_HEALTH_NOT_SERVING);
    CHECK(grpc_health_of(served, 2, false, other) == GRPC_HEALTH_SERVING);
    CHECK(grpc_health_of(served, 2, false, all) == GRPC_HEALTH_NOT_SERVING);
    orders = true;
    CHECK(grpc_health_of(served, 2, true, one) == GRPC_HEALTH_NOT_SERVING);
    CHECK(grpc_health_of(served, 2, true, all) == GRPC_HEALTH_NOT_SERVING);
    CHECK(grpc_health_of(served, 0, true, all) == GRPC_HEALTH_NOT_SERVING);
    CHECK(grpc_health_of(served, 2, true, STR("nobody")) == GRPC_HEALTH_SERVICE_UNKNOWN);
}

TEST(its_messages_are_as_the_protocol_has_them)
{
    struct text out = text_init(t->arena, 8);
    str service;

    CHECK(grpc_health_read(STR("\x0a\x03"
                               "a.B"),
                           &service));
    CHECK_STR(service, "a.B");
    CHECK(grpc_health_read(STR(""), &service));
    CHECK_INT(service.len, 0);
    CHECK(!grpc_health_read(STR("\x0a\x09"
                                "a.B"),
                            &service));
    grpc_health_write(&out, GRPC_HEALTH_NOT_SERVING);
    CHECK_BYTES(out.ptr, "\x08\x02", 2);
}
