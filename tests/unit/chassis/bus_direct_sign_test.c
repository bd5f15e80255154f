#include "base/crypto.h"
#include "chassis/bus_direct.h"
#include "tests/lib/test.h"

static struct direct_signed what_of(void)
{
    return (struct direct_signed){ .path = STR("/internal/events/products"),
                                   .body = STR("payload") };
}

enum { AT_S = 1767225600 };

static bool verified(struct test *t, const char *keys, int64_t seconds, str signature,
                     const struct direct_signed *what)
{
    return direct_verify(t->arena, str_of_z(keys), seconds * TIME_SECOND, signature, what);
}

TEST(what_was_signed_is_verified_for_some_minutes)
{
    crypto_init();
    struct direct_signed what = what_of();
    str signature = direct_sign(t->arena, STR("key one"), AT_S * TIME_SECOND, &what);
    CHECK(str_starts(signature, STR("t=1767225600,v1=")));
    CHECK(verified(t, "key one", AT_S, signature, &what));
    CHECK(verified(t, "key one", AT_S + DIRECT_SKEW_S, signature, &what));
    CHECK(!verified(t, "key one", AT_S + DIRECT_SKEW_S + 1, signature, &what));
    CHECK(verified(t, "key one", AT_S - DIRECT_SKEW_S, signature, &what));
    CHECK(!verified(t, "key one", AT_S - DIRECT_SKEW_S - 1, signature, &what));
}

TEST(a_changed_key_is_believed_while_both_stand_there_and_the_first_signs)
{
    crypto_init();
    struct direct_signed what = what_of();
    str old = direct_sign(t->arena, STR("old"), AT_S * TIME_SECOND, &what);
    str new = direct_sign(t->arena, STR("new,old"), AT_S * TIME_SECOND, &what);
    CHECK(verified(t, "new,old", AT_S, old, &what));
    CHECK(verified(t, "old,new", AT_S, new, &what));
    CHECK(!verified(t, "old", AT_S, new, &what));
    CHECK(!verified(t, "", AT_S, new, &what));
}

TEST(nothing_of_what_was_signed_can_be_changed)
{
    crypto_init();
    struct direct_signed what = what_of(), changed = what_of();
    str signature = direct_sign(t->arena, STR("key"), AT_S * TIME_SECOND, &what);
    CHECK(verified(t, "key", AT_S, signature, &what));
    changed.path = STR("/internal/events/orders");
    CHECK(!verified(t, "key", AT_S, signature, &changed));
    changed = what_of();
    changed.body = STR("payloaD");
    CHECK(!verified(t, "key", AT_S, signature, &changed));
    changed.body = STR("");
    CHECK(!verified(t, "key", AT_S, signature, &changed));
}

TEST(what_is_no_signature_is_refused)
{
    crypto_init();
    struct direct_signed what = what_of();
    static const char *const texts[] = {
        "", "t=", "t=1767225600", "t=1767225600,v1=", "t=x,v1=00", "v1=00,t=1767225600"
    };
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++)
        CHECK(!verified(t, "key", AT_S, str_of_z(texts[i]), &what));
    CHECK(!verified(t, "key", AT_S, STR_NONE, &what));
}
