#include "chassis/hashing.h"

#include "base/arena.h"
#include "chassis/trace_call.h"
#include "os/spare.h"

#include <string.h>

enum { PASSWORD_BYTES_MAX = 1024, PHC_BYTES_MAX = 128, SALT_BYTES = 16 };

/* One hash to make or to compare, as plain memory for a thread of its own. */
struct hashing {
    bool verify;
    bool is_done; /* a hash was made, or is the password's */
    uint16_t password_len, phc_len;
    uint8_t salt[SALT_BYTES];
    char phc[PHC_BYTES_MAX]; /* given, or made */
    char password[PASSWORD_BYTES_MAX];
};
_Static_assert(sizeof(struct hashing) <= SPARE_BYTES_MAX, "a subject of a spare thread");

static void run(void *subject)
{
    struct hashing *hashing = subject;
    str password = str_of(hashing->password, hashing->password_len);

    if (hashing->verify) {
        hashing->is_done = password_verify(str_of(hashing->phc, hashing->phc_len), password);
        return;
    }
    struct arena *arena = arena_open(4096);
    str phc;
    if (password_hash(arena, password, hashing->salt, &phc) == OK && phc.len <= PHC_BYTES_MAX) {
        memcpy(hashing->phc, phc.ptr, phc.len);
        hashing->phc_len = (uint16_t)phc.len;
        hashing->is_done = true;
    }
    arena_close(arena);
}

/* False: it is to be done here, at once. */
static bool run_in_spare_time(struct spare *spare, struct hashing *hashing, str password)
{
    if (!spare || password.len > PASSWORD_BYTES_MAX)
        return false;
    hashing->password_len = (uint16_t)password.len;
    if (password.len > 0)
        memcpy(hashing->password, password.ptr, password.len);
    spare_run(spare, run, hashing, sizeof *hashing, HASHING_WAIT_US);
    return true;
}

static err hash(struct spare *spare, struct arena *arena, str password, const uint8_t salt[16],
                str *phc)
{
    struct hashing hashing = { .verify = false };
    memcpy(hashing.salt, salt, SALT_BYTES);
    bool is_made = run_in_spare_time(spare, &hashing, password) && hashing.is_done;
    if (is_made)
        *phc = str_copy(arena, str_of(hashing.phc, hashing.phc_len));
    explicit_bzero(&hashing, sizeof hashing);
    return is_made ? OK : password_hash(arena, password, salt, phc);
}

static bool verify(struct spare *spare, str phc, str password)
{
    if (phc.len > PHC_BYTES_MAX)
        return password_verify(phc, password);
    struct hashing hashing = { .verify = true, .phc_len = (uint16_t)phc.len };
    if (phc.len > 0)
        memcpy(hashing.phc, phc.ptr, phc.len);
    bool is_told = run_in_spare_time(spare, &hashing, password);
    bool is_right = hashing.is_done;
    explicit_bzero(&hashing, sizeof hashing);
    return is_told ? is_right : password_verify(phc, password);
}

err hashing_hash(struct spare *spare, struct arena *arena, str password, const uint8_t salt[16],
                 str *phc)
{
    ASSERT(arena && salt && phc);
    struct span span;
    span_begin_here(&span, SPAN_INTERNAL, STR("password hash"));
    err error = hash(spare, arena, password, salt, phc);
    trace_tell_error(&span, error);
    span_end(&span);
    return error;
}

bool hashing_verify(struct spare *spare, str phc, str password)
{
    struct span span;
    span_begin_here(&span, SPAN_INTERNAL, STR("password verify"));
    bool is_right = verify(spare, phc, password);
    span_end(&span);
    return is_right;
}
