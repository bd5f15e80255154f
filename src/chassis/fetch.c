#include "chassis/fetch.h"

#include <curl/curl.h>
#include <stdlib.h>

enum { SLICE_MS = 200, CONNECT_MS = 3000 };

struct fetch {
    struct fetch_config config;
    CURLM *multi;
    CURL *handles[FETCH_AT_ONCE_MAX];
};

/* One call under way. */
struct exchange {
    struct curl_slist *headers;
    struct text body;
    struct fetch_answer *answer;
    bool too_large;
};

void fetch_prepare(void)
{
    static CURLcode made = CURLE_FAILED_INIT;
    static int once; /* curl_global_init counts; the first one must be alone */
    if (__atomic_add_fetch(&once, 1, __ATOMIC_SEQ_CST) == 1)
        __atomic_store_n(&made, curl_global_init(CURL_GLOBAL_DEFAULT), __ATOMIC_SEQ_CST);
}

struct fetch *fetch_open(const struct fetch_config *config)
{
    fetch_prepare();
    struct fetch *fetch = calloc(1, sizeof(*fetch));
    ASSERT(fetch);
    fetch->config = *config;
    fetch->multi = curl_multi_init();
    ASSERT(fetch->multi);
    return fetch;
}

void fetch_close(struct fetch *fetch)
{
    if (!fetch)
        return;
    for (int i = 0; i < FETCH_AT_ONCE_MAX; i++)
        if (fetch->handles[i])
            curl_easy_cleanup(fetch->handles[i]);
    (void)curl_multi_cleanup(fetch->multi);
    free(fetch);
}

static size_t on_body(char *bytes, size_t size, size_t count, void *subject)
{
    struct exchange *exchange = subject;
    if (exchange->body.len + size * count > FETCH_BODY_BYTES_MAX) {
        exchange->too_large = true;
        return 0;
    }
    text_add(&exchange->body, str_of(bytes, size * count));
    return size * count;
}

static void add_headers(struct arena *arena, const struct fetch_request *request,
                        struct exchange *exchange)
{
    for (int i = 0; i < request->headers_count; i++) {
        const struct fetch_header *header = &request->headers[i];
        str line = str_format(arena, "%s: %" STR_F, header->name, STR_A(header->value));
        exchange->headers = curl_slist_append(exchange->headers, str_z(arena, line));
    }
    exchange->headers = curl_slist_append(exchange->headers, "Expect:");
}

static void set_tls(CURL *handle, const struct fetch_config *config)
{
    curl_easy_setopt(handle, CURLOPT_SSLVERSION, (long)CURL_SSLVERSION_TLSv1_2);
    if (config->ca)
        curl_easy_setopt(handle, CURLOPT_CAINFO, config->ca);
    if (config->cert)
        curl_easy_setopt(handle, CURLOPT_SSLCERT, config->cert);
    if (config->key)
        curl_easy_setopt(handle, CURLOPT_SSLKEY, config->key);
}

static CURL *begin(struct fetch *fetch, struct arena *arena, int index,
                   const struct fetch_request *request, struct exchange *exchange)
{
    if (!fetch->handles[index])
        fetch->handles[index] = curl_easy_init();
    CURL *handle = fetch->handles[index];
    ASSERT(handle);
    curl_easy_reset(handle);
    exchange->body = text_init(arena, 256);
    add_headers(arena, request, exchange);
    curl_easy_setopt(handle, CURLOPT_URL, str_z(arena, request->url));
    curl_easy_setopt(handle, CURLOPT_CUSTOMREQUEST, request->method);
    if (request->body.ptr) {
        curl_easy_setopt(handle, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)request->body.len);
        curl_easy_setopt(handle, CURLOPT_POSTFIELDS, request->body.ptr);
    }
    curl_easy_setopt(handle, CURLOPT_HTTPHEADER, exchange->headers);
    curl_easy_setopt(handle, CURLOPT_WRITEFUNCTION, on_body);
    curl_easy_setopt(handle, CURLOPT_WRITEDATA, exchange);
    curl_easy_setopt(handle, CURLOPT_PRIVATE, exchange);
    curl_easy_setopt(handle, CURLOPT_TIMEOUT_MS, (long)request->timeout_ms);
    curl_easy_setopt(handle, CURLOPT_CONNECTTIMEOUT_MS, (long)CONNECT_MS);
    curl_easy_setopt(handle, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(handle, CURLOPT_PROXY, "");
    curl_easy_setopt(handle, CURLOPT_PROTOCOLS_STR, "http,https");
    set_tls(handle, &fetch->config);
    return handle;
}

static void end(struct arena *arena, CURL *handle, CURLcode code)
{
    struct exchange *exchange;
    long status = 0;
    curl_easy_getinfo(handle, CURLINFO_PRIVATE, &exchange);
    curl_easy_getinfo(handle, CURLINFO_RESPONSE_CODE, &status);
    if (code == CURLE_OK)
        *exchange->answer =
            (struct fetch_answer){ .status = (int)status, .body = text_str(&exchange->body) };
    else
        exchange->answer->error =
            fail(arena, UPSTREAM_UNAVAILABLE, "%s",
                 exchange->too_large ? "the answer is too large" : curl_easy_strerror(code));
}

/* Turns until all are done, or nobody wants them any more. */
static void turn(struct fetch *fetch, struct arena *arena, size_t count)
{
    int running = 1, left;
    while (count > 0 && running > 0) {
        if (fetch->config.give_up && fetch->config.give_up(fetch->config.subject))
            return;
        if (curl_multi_perform(fetch->multi, &running) != CURLM_OK)
            return;
        for (CURLMsg *message; (message = curl_multi_info_read(fetch->multi, &left));)
            if (message->msg == CURLMSG_DONE) {
                end(arena, message->easy_handle, message->data.result);
                count--;
            }
        if (count > 0 && running > 0)
            (void)curl_multi_poll(fetch->multi, NULL, 0, SLICE_MS, NULL);
    }
}

static void fetch_some(struct fetch *fetch, struct arena *arena,
                       const struct fetch_request *requests, struct fetch_answer *answers,
                       size_t count)
{
    struct exchange exchanges[FETCH_AT_ONCE_MAX] = { 0 };
    for (size_t i = 0; i < count; i++) {
        answers[i] = (struct fetch_answer){ .error = fail(arena, UPSTREAM_UNAVAILABLE,
                                                          "given up before it was answered") };
        exchanges[i].answer = &answers[i];
        CURL *handle = begin(fetch, arena, (int)i, &requests[i], &exchanges[i]);
        (void)curl_multi_add_handle(fetch->multi, handle);
    }
    turn(fetch, arena, count);
    for (size_t i = 0; i < count; i++) {
        (void)curl_multi_remove_handle(fetch->multi, fetch->handles[i]);
        curl_slist_free_all(exchanges[i].headers);
    }
}

void fetch_all(struct fetch *fetch, struct arena *arena, const struct fetch_request *requests,
               struct fetch_answer *answers, size_t count)
{
    ASSERT(fetch && arena && (count == 0 || (requests && answers)));
    for (size_t from = 0; from < count; from += FETCH_AT_ONCE_MAX) {
        size_t some = count - from < FETCH_AT_ONCE_MAX ? count - from : FETCH_AT_ONCE_MAX;
        fetch_some(fetch, arena, requests + from, answers + from, some);
    }
}

err fetch_one(struct fetch *fetch, struct arena *arena, const struct fetch_request *request,
              struct fetch_answer *out)
{
    struct fetch_answer answer;
    fetch_all(fetch, arena, request, &answer, 1);
    if (answer.error == OK)
        *out = answer;
    return answer.error;
}
