#include "chassis/http_addresses.h"

#include "tests/lib/test.h"

enum { MOST = 3 };
#define SEED UINT64_C(0x8a5cd789635d2dff)

TEST(an_address_has_as_many_as_it_may_and_others_are_not_disturbed)
{
    struct http_addresses *addresses = http_addresses_new(t->arena, MOST, SEED);
    int place = HTTP_ADDRESS_NONE;

    for (int i = 0; i < MOST; i++) {
        place = http_addresses_enter(addresses, STR("192.0.2.1"));
        CHECK(place >= 0);
    }
    CHECK_INT(http_addresses_enter(addresses, STR("192.0.2.1")), HTTP_ADDRESS_NONE);
    CHECK(http_addresses_enter(addresses, STR("192.0.2.2")) >= 0);
    http_addresses_leave(addresses, place);
    CHECK(http_addresses_enter(addresses, STR("192.0.2.1")) >= 0);
    CHECK_INT(http_addresses_enter(addresses, STR("192.0.2.1")), HTTP_ADDRESS_NONE);
}

TEST(an_ipv6_customer_is_one_whatever_the_lower_half)
{
    struct http_addresses *addresses = http_addresses_new(t->arena, MOST, SEED);

    CHECK(http_addresses_enter(addresses, STR("2001:db8::1")) >= 0);
    CHECK(http_addresses_enter(addresses, STR("2001:db8::2")) >= 0);
    CHECK(http_addresses_enter(addresses, STR("2001:db8::ffff:1")) >= 0);
    CHECK_INT(http_addresses_enter(addresses, STR("2001:db8::3")), HTTP_ADDRESS_NONE);
    CHECK(http_addresses_enter(addresses, STR("2001:db8:0:1::3")) >= 0);
}

TEST(a_thousand_addresses_hardly_meet)
{
    struct http_addresses *addresses = http_addresses_new(t->arena, 1, SEED);
    int met = 0;

    for (int i = 0; i < 1000; i++) {
        str peer = str_format(t->arena, "10.0.%d.%d", i / 250, i % 250);
        met += http_addresses_enter(addresses, peer) == HTTP_ADDRESS_NONE;
    }
    CHECK(met < 120); /* of 8 192 places: 58 by chance */
}
