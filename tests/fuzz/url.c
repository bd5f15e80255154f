/* Texts that are read by rules of their own: URLs of buses and services, lists of proxies and of
 * origins, addresses behind proxies, percent-encoding, times, ids, base64.
 *
 * What was read and is written again is read as the same.
 *
 * Input: a number for the reader; then the text. */
#include "base/crypto.h"
#include "base/time.h"
#include "base/uuid.h"
#include "chassis/bus_url.h"
#include "chassis/proxies.h"
#include "chassis/upstream_url.h"
#include "services/gateway/cors.h"
#include "tests/fuzz/calls.h"
#include "tests/fuzz/fuzz.h"

void fuzz_begin(void) { crypto_init(); }

static void check_bus_url(struct arena *arena, str text)
{
    struct bus_url url;
    str host;
    int port;

    err error = bus_url_parse(arena, text, &url);
    if (error != OK) {
        calls_check_error(arena, error);
        return;
    }
    FUZZ_SAME(url.scheme, str_lower(arena, url.scheme));
    if (bus_url_host(&url, 5672, &host, &port))
        FUZZ_CHECK(port > 0 && port < 65536 && host.len <= text.len);
    (void)bus_url_option(&url, STR("region"), STR("none"));
}

static void check_upstream_url(struct arena *arena, str text)
{
    struct upstream_url url;

    err error = upstream_url_read(arena, text, "ORDERS_URL", &url);
    if (error != OK) {
        calls_check_error(arena, error);
        return;
    }
    FUZZ_CHECK(url.hosts_count > 0 && url.hosts_count <= UPSTREAM_HOSTS_MAX);
    for (int i = 0; i < url.hosts_count; i++)
        FUZZ_CHECK(url.hosts[i].name.len > 0);
    FUZZ_CHECK(str_find_byte(url.authority, '/') < 0 || url.hosts[0].port == 0);
}

/* A list of proxies, a line, and what X-Forwarded-For says. */
static void check_proxies(struct arena *arena, str text)
{
    str forwarded = text, list = str_cut(&forwarded, '\n');
    struct header headers[] = { { STR("x-forwarded-for"), str_trim(forwarded) },
                                { STR("x-duka-identity"), STR("mine") } };
    struct request request = {
        .arena = arena, .headers = headers, .headers_count = 2, .peer_address = STR("10.0.0.1")
    };
    struct proxies proxies;
    struct address address;

    err error = proxies_parse(arena, list, &proxies);
    if (error != OK) {
        calls_check_error(arena, error);
        proxies = (struct proxies){ 0 };
    }
    str client = client_address_of(&proxies, &request);
    FUZZ_CHECK(address_parse(client, &address));
    FUZZ_CHECK(proxies.count > 0 || str_equal(client, request.peer_address));
    internal_headers_drop(&request);
    FUZZ_CHECK(request_header_count(&request, STR("x-duka-identity")) == 0);
}

/* A list of origins, a line, and the headers that a browser sends. */
static void check_cors(struct arena *arena, str text)
{
    str rest = text, list = str_cut(&rest, '\n'), origin = str_trim(str_cut(&rest, '\n'));
    struct header headers[] = { { STR("origin"), origin },
                                { STR("access-control-request-method"),
                                  str_trim(str_cut(&rest, '\n')) },
                                { STR("access-control-request-headers"), str_trim(rest) } };
    struct request request = { .arena = arena,
                               .method = HTTP_OPTIONS,
                               .headers = headers,
                               .headers_count = 3,
                               .path = STR("/orders") };
    struct cors cors;

    err error = cors_parse(arena, list, false, 1000, &cors);
    if (error != OK) {
        calls_check_error(arena, error);
        return;
    }
    cors_apply(&cors, &request);
    if (cors_is_preflight(&request)) {
        error = cors_preflight(&cors, &request);
        if (error != OK)
            calls_check_error(arena, error);
    }
    for (int i = 0; i < request.extra_count; i++)
        for (size_t at = 0; at < request.extra[i].value.len; at++)
            FUZZ_CHECK((unsigned char)request.extra[i].value.ptr[at] >= ' ' ||
                       str_find_byte(text, request.extra[i].value.ptr[at]) >= 0);
}

static void check_values(struct arena *arena, str text)
{
    time_us at, at_again;
    struct uuid id, id_again;
    str bytes, decoded;

    if (time_parse(text, &at)) {
        FUZZ_CHECK(time_parse(time_text(arena, at), &at_again));
        FUZZ_CHECK(at == at_again);
    }
    if (uuid_parse(text, &id)) {
        FUZZ_CHECK(uuid_parse(uuid_text(arena, id), &id_again));
        FUZZ_CHECK(uuid_equal(id, id_again));
    }
    if (base64url_parse(arena, text, &bytes))
        FUZZ_SAME(base64url(arena, bytes), text);
    if (base64_parse(arena, text, &bytes))
        FUZZ_SAME(base64(arena, bytes), text);
    if (hex_parse(arena, text, &bytes))
        FUZZ_SAME(hex(arena, bytes), str_lower(arena, text));
    if (percent_decode(arena, text, true, &decoded))
        FUZZ_CHECK(decoded.len <= text.len && str_find_byte(decoded, '\0') < 0);
}

void fuzz_run(struct arena *arena, str input)
{
    static void (*const readers[])(struct arena * arena,
                                   str text) = { check_bus_url, check_upstream_url, check_proxies,
                                                 check_cors, check_values };
    unsigned reader = fuzz_number(&input, sizeof readers / sizeof readers[0]);

    fuzz_plant_overread(input, STR("bug:"));
    readers[reader](arena, input);
}
