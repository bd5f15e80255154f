#include "chassis/binding.h"
#include "counter.h"

/* A request and the call that it is bound to. */
struct bound {
    struct test *t;
    struct request request;
    struct call call;
    struct route_match match;
};

static struct bound *bound_of(struct test *t, enum counter_call call, const char *query)
{
    struct bound *bound = arena_new(t->arena, struct bound);
    const struct call_spec *spec = &counter_spec.calls[call];
    bound->t = t;
    bound->request = (struct request){ .arena = t->arena,
                                       .method = spec->method,
                                       .path = STR("/counters/mug"),
                                       .query = query ? str_of_z(query) : STR_NONE,
                                       .headers = arena_array(t->arena, struct header, 8) };
    bound->call = (struct call){ .arena = t->arena, .spec = spec, .request = &bound->request };
    bound->match = (struct route_match){ .spec = spec, .variables = { STR("mug") } };
    return bound;
}

static void header(struct bound *bound, const char *name, const char *value)
{
    bound->request.headers[bound->request.headers_count++] =
        (struct header){ str_of_z(name), str_of_z(value) };
}

static err bind_it(struct bound *bound, const void **out)
{
    return binding_read(&bound->call, &bound->match, &bound->request, out);
}

static void body(struct bound *bound, const char *json)
{
    bound->request.body = str_of_z(json);
    header(bound, "content-type", "application/json");
}

/* ---- the message ---- */

TEST(path_query_and_body_fill_one_message)
{
    struct bound *bound = bound_of(t, COUNTER_ADD, NULL);
    const void *out;
    bound->match.variables[0] = STR("a%2Db%2B");
    body(bound, "{\"delta\":-5,\"reason\":\"lost\",\"note\":\"x\"}");
    CHECK_OK(bind_it(bound, &out));
    const Products__AdjustStockRequest *in = out;
    CHECK_STR(text_of(in->sku), "a-b+"); /* a plus is a plus in a path */
    CHECK_INT(in->delta, -5);
    CHECK_INT(in->reason, PRODUCTS__ADJUSTMENT_REASON__ADJUSTMENT_REASON_LOST);

    bound = bound_of(t, COUNTER_LIST, "limit=7&status=placed&after=a%20b+c");
    CHECK_ERR(bind_it(bound, &out), FIELD_INVALID); /* a token has no space: both were decoded */
    bound = bound_of(t, COUNTER_LIST, "limit=7&status=placed&after=abc&");
    CHECK_OK(bind_it(bound, &out));
    const Orders__ListOrdersRequest *list = out;
    CHECK_INT(list->limit, 7);
    CHECK_INT(list->status, ORDERS__ORDER_STATUS__ORDER_STATUS_PLACED);
    CHECK_STR(text_of(list->after), "abc");
}

TEST(an_empty_value_and_a_missing_one_are_the_same)
{
    const void *out;
    CHECK_OK(bind_it(bound_of(t, COUNTER_LIST, "after="), &out));
    CHECK_OK(bind_it(bound_of(t, COUNTER_LIST, "after"), &out));
    CHECK_OK(bind_it(bound_of(t, COUNTER_LIST, ""), &out));
    CHECK_INT(text_of(((const Orders__ListOrdersRequest *)out)->after).len, 0);
}

TEST(a_query_that_cannot_be_read_is_refused)
{
    const void *out;
    static const char *const wrong[] = { "x=1",     "limit=1&limit=2", "=1",        "&",      "%=1",
                                         "limit=%", "%00=1",           "limit=1&&", "Limit=1" };
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++)
        CHECK_ERR(bind_it(bound_of(t, COUNTER_LIST, wrong[i]), &out), QUERY_MALFORMED);
    CHECK_ERR(bind_it(bound_of(t, COUNTER_LIST, "limit=1.5"), &out), FIELD_INVALID);
    CHECK_ERR(bind_it(bound_of(t, COUNTER_LIST, "status=nothing"), &out), FIELD_INVALID);
    /* What the path binds, or the body, is no parameter. */
    CHECK_ERR(bind_it(bound_of(t, COUNTER_GET, "sku=mug"), &out), QUERY_MALFORMED);
    struct bound *bound = bound_of(t, COUNTER_ADD, "delta=5");
    body(bound, "{\"reason\":\"lost\"}");
    CHECK_ERR(bind_it(bound, &out), QUERY_MALFORMED);
}

TEST(a_segment_that_cannot_be_decoded_is_refused)
{
    const void *out;
    static const char *const wrong[] = { "%", "%4", "%zz", "%00", "%ff" };
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        struct bound *bound = bound_of(t, COUNTER_GET, NULL);
        bound->match.variables[0] = str_of_z(wrong[i]);
        CHECK_ERR(bind_it(bound, &out), PATH_MALFORMED);
    }
}

TEST(a_member_that_the_path_binds_is_unknown_in_the_body)
{
    struct bound *bound = bound_of(t, COUNTER_ADD, NULL);
    const void *out;
    body(bound, "{\"sku\":\"cup\",\"reason\":\"lost\"}");
    CHECK_ERR(bind_it(bound, &out), FIELD_UNKNOWN);
}

TEST(the_media_type_is_compared_without_case_and_parameters)
{
    static const char *const right[] = { "application/json", "Application/JSON",
                                         "application/json; charset=utf-8" };
    static const char *const wrong[] = { "text/plain", "application/jsonx", "", "json" };
    const void *out;
    for (int i = 0; i < 3; i++) {
        struct bound *bound = bound_of(t, COUNTER_ADD, NULL);
        bound->request.body = STR("{\"reason\":\"lost\"}");
        header(bound, "content-type", right[i]);
        CHECK_OK(bind_it(bound, &out));
    }
    for (int i = 0; i < 4; i++) {
        struct bound *bound = bound_of(t, COUNTER_ADD, NULL);
        bound->request.body = STR("{\"reason\":\"lost\"}");
        header(bound, "content-type", wrong[i]);
        CHECK_ERR(bind_it(bound, &out), MEDIA_TYPE_UNSUPPORTED);
    }
    struct bound *bound = bound_of(t, COUNTER_ADD, NULL);
    bound->request.body = STR("{\"reason\":\"lost\"}");
    CHECK_ERR(bind_it(bound, &out), MEDIA_TYPE_UNSUPPORTED);
    CHECK_ERR(bind_it(bound_of(t, COUNTER_ADD, NULL), &out),
              FIELD_INVALID); /* no body needs none */
}

TEST(a_raw_body_is_given_as_it_came)
{
    struct bound *bound = bound_of(t, COUNTER_RAW, NULL);
    const void *out;
    bound->request.body = STR("a,\xff\n");
    CHECK_ERR(bind_it(bound, &out), MEDIA_TYPE_UNSUPPORTED);
    header(bound, "content-type", "text/csv");
    CHECK_OK(bind_it(bound, &out));
    const Orders__ReceivePaymentEventRequest *in = out;
    CHECK_STR(text_of(in->provider), "mug");
    CHECK(in->payload.len == 4 && memcmp(in->payload.data, "a,\xff\n", 4) == 0);
}

TEST(a_call_without_a_body_takes_none)
{
    struct bound *bound = bound_of(t, COUNTER_GET, NULL);
    const void *out;
    bound->request.body = STR("{}");
    CHECK_ERR(bind_it(bound, &out), FIELD_UNKNOWN);
}

/* ---- headers ---- */

static err key_error(struct test *t, enum counter_call call, const char *key)
{
    struct bound *bound = bound_of(t, call, NULL);
    header(bound, "if-match", "*");
    if (key)
        header(bound, "idempotency-key", key);
    return binding_read_headers(&bound->call, &bound->request);
}

TEST(a_key_is_1_to_255_visible_characters)
{
    char key[257] = { 0 };
    memset(key, '~', 255);
    CHECK_OK(key_error(t, COUNTER_ADD, key));
    CHECK_OK(key_error(t, COUNTER_ADD, "!"));
    key[255] = '~';
    CHECK_ERR(key_error(t, COUNTER_ADD, key), IDEMPOTENCY_KEY_REQUIRED);
    CHECK_ERR(key_error(t, COUNTER_ADD, ""), IDEMPOTENCY_KEY_REQUIRED);
    CHECK_ERR(key_error(t, COUNTER_ADD, "a b"), IDEMPOTENCY_KEY_REQUIRED);
    CHECK_ERR(key_error(t, COUNTER_ADD, NULL), IDEMPOTENCY_KEY_REQUIRED);
    CHECK_OK(key_error(t, COUNTER_GET, NULL));
}

TEST(a_key_that_the_contract_does_not_ask_for_is_not_used)
{
    struct bound *bound = bound_of(t, COUNTER_GET, NULL);
    header(bound, "idempotency-key", "key");
    CHECK_OK(binding_read_headers(&bound->call, &bound->request));
    CHECK(!bound->call.idempotency_key.ptr);
}

TEST(if_match_must_be_there_where_the_contract_wants_it)
{
    struct bound *bound = bound_of(t, COUNTER_PUT, NULL);
    CHECK_ERR(binding_read_headers(&bound->call, &bound->request), VERSION_REQUIRED);
    header(bound, "if-match", "\"v1\"");
    CHECK_OK(binding_read_headers(&bound->call, &bound->request));
}

static int waits(struct test *t, const char *prefer)
{
    struct bound *bound = bound_of(t, COUNTER_PLACE, NULL);
    header(bound, "idempotency-key", "key");
    if (prefer)
        header(bound, "prefer", prefer);
    CHECK_OK(binding_read_headers(&bound->call, &bound->request));
    return bound->call.wait_ms;
}

TEST(prefer_says_how_long_a_call_may_wait)
{
    static const struct {
        const char *prefer;
        int ms;
    } cases[] = {
        { NULL, 1000 },
        { "wait=3", 3000 },
        { "Wait = 3", 3000 },
        { "wait=0", 0 },
        { "wait=10", 10000 },
        { "wait=11", 10000 },
        { "wait=2147483647", 10000 },
        { "wait=2147483648", 1000 }, /* not understood: as if it were not there */
        { "wait=-1", 1000 },
        { "wait=x", 1000 },
        { "wait", 1000 },
        { "respond-async", 0 },
        { "Respond-Async", 0 },
        { "respond-async, wait=5", 5000 },
        { "wait=5, respond-async", 5000 },
        { "handling=lenient, wait=2", 2000 },
        { "return=minimal", 1000 },
        { "", 1000 },
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++)
        CHECK_INT(waits(t, cases[i].prefer), cases[i].ms);
}

/* ---- the answer ---- */

static str answer_header(const struct bound *bound, const char *name)
{
    const struct response *response = &bound->request.response;
    for (int i = 0; i < response->headers_count; i++)
        if (str_equal_fold(response->headers[i].name, str_of_z(name)))
            return response->headers[i].value;
    return STR_NONE;
}

static struct bound *answered(struct test *t, enum counter_call call, const char *if_none_match,
                              const char *etag, const void *message, int status)
{
    struct bound *bound = bound_of(t, call, NULL);
    if (if_none_match)
        header(bound, "if-none-match", if_none_match);
    if (etag)
        bound->call.etag = str_of_z(etag);
    binding_answer(&bound->call, &bound->request, message, status);
    return bound;
}

static Orders__Order thing(const char *reason)
{
    Orders__Order thing = ORDERS__ORDER__INIT;
    thing.id = field_of(STR("7"));
    thing.reason = field_of(str_of_z(reason));
    return thing;
}

TEST(an_answer_has_the_status_of_the_contract_or_its_own)
{
    Orders__Order one = thing("x");
    CHECK_INT(answered(t, COUNTER_PLACE, NULL, NULL, &one, 0)->request.response.status, 201);
    CHECK_INT(answered(t, COUNTER_PLACE, NULL, NULL, &one, 202)->request.response.status, 202);
    CHECK_INT(answered(t, COUNTER_GET, NULL, "\"v1\"", &one, 0)->request.response.status, 200);
}

TEST(a_created_thing_is_told_where_it_is)
{
    Orders__Order one = thing("x");
    CHECK_STR(answer_header(answered(t, COUNTER_PLACE, NULL, NULL, &one, 201), "location"),
              "/things/7");
    CHECK_STR(answer_header(answered(t, COUNTER_PLACE, NULL, NULL, &one, 202), "location"),
              "/things/7");
    CHECK(!answer_header(answered(t, COUNTER_PLACE, NULL, NULL, &one, 200), "location").ptr);

    struct bound *bound = bound_of(t, COUNTER_PLACE, NULL);
    bound->call.location = STR("/elsewhere");
    binding_answer(&bound->call, &bound->request, &one, 201);
    CHECK_STR(answer_header(bound, "location"), "/elsewhere");
}

TEST(an_answer_of_204_has_no_body)
{
    Duka__Empty empty = DUKA__EMPTY__INIT;
    struct bound *bound = answered(t, COUNTER_RAW, NULL, NULL, &empty, 0);
    CHECK_INT(bound->request.response.status, 204);
    CHECK_INT(bound->request.response.body.len, 0);
    CHECK(!bound->request.response.content_type.ptr);
}

TEST(a_list_is_tagged_by_its_body)
{
    Orders__Order one = thing("one"), two = thing("two");
    Orders__Order *items[] = { &one, &two };
    Orders__OrderList list = ORDERS__ORDER_LIST__INIT;
    list.items = items;
    list.n_items = 2;
    str etag = answer_header(answered(t, COUNTER_LIST, NULL, NULL, &list, 0), "etag");
    CHECK_INT(etag.len, 34);
    CHECK_STR(answer_header(answered(t, COUNTER_LIST, NULL, NULL, &list, 0), "etag"), etag);
    struct bound *same = answered(t, COUNTER_LIST, str_z(t->arena, etag), NULL, &list, 0);
    CHECK_INT(same->request.response.status, 304);
    CHECK_INT(same->request.response.body.len, 0);

    two.reason = field_of(STR("twp"));
    CHECK(!str_equal(answer_header(answered(t, COUNTER_LIST, NULL, NULL, &list, 0), "etag"), etag));
    list.n_items = 1;
    CHECK(!str_equal(answer_header(answered(t, COUNTER_LIST, NULL, NULL, &list, 0), "etag"), etag));
}

TEST(a_page_links_to_the_next)
{
    Orders__OrderList list = ORDERS__ORDER_LIST__INIT;
    struct bound *bound = bound_of(t, COUNTER_LIST, "limit=2&after=old&status=a>b");
    binding_answer(&bound->call, &bound->request, &list, 0);
    CHECK(!answer_header(bound, "link").ptr);

    list.next = field_of(STR("Zm9v"));
    bound = bound_of(t, COUNTER_LIST, "limit=2&after=old&status=a>b");
    binding_answer(&bound->call, &bound->request, &list, 0);
    CHECK_STR(answer_header(bound, "link"), "<?limit=2&status=a%3Eb&after=Zm9v>; rel=\"next\"");
    bound = bound_of(t, COUNTER_LIST, NULL);
    binding_answer(&bound->call, &bound->request, &list, 0);
    CHECK_STR(answer_header(bound, "link"), "<?after=Zm9v>; rel=\"next\"");
}

TEST(only_a_read_answers_304)
{
    Products__Stock stock = PRODUCTS__STOCK__INIT;
    CHECK_INT(answered(t, COUNTER_PUT, "\"v1\"", "\"v1\"", &stock, 0)->request.response.status,
              200);
    CHECK_INT(answered(t, COUNTER_GET, "\"v1\"", "\"v1\"", &stock, 0)->request.response.status,
              304);
    CHECK_INT(answered(t, COUNTER_GET, "\"v11\", v1", "\"v1\"", &stock, 0)->request.response.status,
              200);
    CHECK(!answer_header(answered(t, COUNTER_ADD, NULL, NULL, &stock, 0), "etag").ptr);
}

/* ---- what a cursor is bound to ---- */

static const char *asked(struct test *t, const char *query)
{
    struct bound *bound = bound_of(t, COUNTER_LIST, query);
    return str_z(t->arena, binding_asked(t->arena, &bound->request));
}

TEST(what_was_asked_is_path_and_query_without_the_paging)
{
    CHECK_STR(asked(t, NULL), "/counters/mug");
    CHECK_STR(asked(t, ""), "/counters/mug");
    CHECK_STR(asked(t, "limit=5"), "/counters/mug");
    CHECK_STR(asked(t, "after=x&q=a&limit=5&sort=b"), "/counters/mug&q=a&sort=b");
    CHECK_STR(asked(t, "afterwards=x&limits=5"), "/counters/mug&afterwards=x&limits=5");
}
