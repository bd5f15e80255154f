#include "chassis/fetch_pipe.h"

#include "os/clock.h"

#include <curl/curl.h>
#include <poll.h>
#include <stdlib.h>

struct fetch_pipe {
    CURL *handle;
    curl_socket_t socket;
};

static err unavailable(struct arena *arena, CURLcode code, const char *words)
{
    return fail(arena, UPSTREAM_UNAVAILABLE, "%s", *words ? words : curl_easy_strerror(code));
}

static void set_files(CURL *handle, const struct fetch_config *config)
{
    curl_easy_setopt(handle, CURLOPT_SSLVERSION, (long)CURL_SSLVERSION_TLSv1_2);
    curl_easy_setopt(handle, CURLOPT_SSL_ENABLE_ALPN, 0L);
    if (config->ca)
        curl_easy_setopt(handle, CURLOPT_CAINFO, config->ca);
    if (config->cert)
        curl_easy_setopt(handle, CURLOPT_SSLCERT, config->cert);
    if (config->key)
        curl_easy_setopt(handle, CURLOPT_SSLKEY, config->key);
}

err fetch_pipe_open(struct arena *arena, str url, const struct fetch_config *config, int timeout_ms,
                    struct fetch_pipe **out)
{
    ASSERT(arena && config && out && timeout_ms > 0);
    char words[CURL_ERROR_SIZE] = "";

    fetch_prepare();
    CURL *handle = curl_easy_init();
    ASSERT(handle);
    curl_easy_setopt(handle, CURLOPT_URL, str_z(arena, url));
    curl_easy_setopt(handle, CURLOPT_CONNECT_ONLY, 1L);
    curl_easy_setopt(handle, CURLOPT_ERRORBUFFER, words);
    curl_easy_setopt(handle, CURLOPT_TIMEOUT_MS, (long)timeout_ms);
    curl_easy_setopt(handle, CURLOPT_CONNECTTIMEOUT_MS, (long)timeout_ms);
    curl_easy_setopt(handle, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(handle, CURLOPT_PROXY, "");
    curl_easy_setopt(handle, CURLOPT_TCP_KEEPALIVE, 1L);
    curl_easy_setopt(handle, CURLOPT_PROTOCOLS_STR, "http,https");
    set_files(handle, config);

    struct fetch_pipe *pipe = calloc(1, sizeof(*pipe));
    ASSERT(pipe);
    pipe->handle = handle;
    CURLcode code = curl_easy_perform(handle);
    if (code == CURLE_OK)
        code = curl_easy_getinfo(handle, CURLINFO_ACTIVESOCKET, &pipe->socket);
    curl_easy_setopt(handle, CURLOPT_ERRORBUFFER, NULL);
    if (code != CURLE_OK) {
        fetch_pipe_close(pipe);
        return unavailable(arena, code, words);
    }
    *out = pipe;
    return OK;
}

void fetch_pipe_close(struct fetch_pipe *pipe)
{
    if (!pipe)
        return;
    curl_easy_cleanup(pipe->handle);
    free(pipe);
}

/* Waits until the socket can be read (or written), or the deadline. */
static err wait_for(const struct fetch_pipe *pipe, struct arena *arena, short events,
                    int64_t deadline_us)
{
    enum { US_IN_MS = 1000 };
    struct pollfd waits = { .fd = pipe->socket, .events = events };
    int64_t left_ms = (deadline_us - clock_mono_us() + US_IN_MS - 1) / US_IN_MS;

    if (left_ms <= 0 || (poll(&waits, 1, (int)left_ms) == 0 && clock_mono_us() >= deadline_us))
        return fail(arena, UPSTREAM_UNAVAILABLE, "no answer in time");
    return OK;
}

err fetch_pipe_send(struct fetch_pipe *pipe, struct arena *arena, str bytes, int64_t deadline_us)
{
    ASSERT(pipe && arena);
    while (bytes.len > 0) {
        size_t sent = 0;
        CURLcode code = curl_easy_send(pipe->handle, bytes.ptr, bytes.len, &sent);
        if (code == CURLE_AGAIN)
            TRY(wait_for(pipe, arena, POLLOUT, deadline_us));
        else if (code != CURLE_OK)
            return unavailable(arena, code, "");
        bytes = str_of(bytes.ptr + sent, bytes.len - sent);
    }
    return OK;
}

err fetch_pipe_receive(struct fetch_pipe *pipe, struct arena *arena, char *room, size_t room_len,
                       int64_t deadline_us, size_t *len)
{
    ASSERT(pipe && arena && room && room_len > 0 && len);
    CURLcode code;

    while ((code = curl_easy_recv(pipe->handle, room, room_len, len)) == CURLE_AGAIN)
        TRY(wait_for(pipe, arena, POLLIN, deadline_us));
    if (code != CURLE_OK)
        return unavailable(arena, code, "");
    if (*len == 0)
        return fail(arena, UPSTREAM_UNAVAILABLE, "the server has ended the connection");
    return OK;
}
