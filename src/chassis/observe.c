#include "chassis/observe.h"

#include "base/uuid.h"
#include "chassis/export.h"
#include "chassis/log_otlp.h"
#include "chassis/metrics_push.h"
#include "chassis/trace.h"
#include "chassis/trace_encode.h"
#include "chassis/version.h"
#include "os/random.h"

#include <stdlib.h>
#include <string.h>

enum {
    SPAN_BYTES_TYPICAL = 800, /* of room for each span that may wait */
    CLOSE_PATIENCE_US = 2000000
};

struct observe {
    struct arena *memory; /* holds this */
    struct trace_source source;
    struct exporter *traces, *logs;
    struct metrics_push *metrics;
};

/* ---- settings ---- */

static err check_url(struct arena *arena, const struct conf *conf, enum setting setting,
                     const char *name)
{
    str url = conf_text(conf, setting);
    if (str_starts(url, STR("http://")) || str_starts(url, STR("https://")))
        return OK;
    return fail(arena, SETTING_INVALID,
                "%s is \"%" STR_F "\": give a URL like http://collector:4318", name, STR_A(url));
}

/* "http://collector:4318" and "/v1/traces", with one slash between them. */
static err otlp_url(struct arena *arena, const struct conf *conf, enum setting whole,
                    const char *whole_name, const char *path, str *out)
{
    if (conf_text(conf, whole).len > 0) {
        TRY(check_url(arena, conf, whole, whole_name));
        *out = conf_text(conf, whole);
        return OK;
    }
    TRY(check_url(arena, conf, CONF_OTEL_EXPORTER_OTLP_ENDPOINT, "OTEL_EXPORTER_OTLP_ENDPOINT"));
    str base = conf_text(conf, CONF_OTEL_EXPORTER_OTLP_ENDPOINT);
    while (base.len > 0 && base.ptr[base.len - 1] == '/')
        base.len--;
    *out = str_format(arena, "%" STR_F "%s", STR_A(base), path);
    return OK;
}

static bool is_header_text(str text)
{
    for (size_t i = 0; i < text.len; i++)
        if (text.ptr[i] < ' ' || text.ptr[i] > '~')
            return false;
    return true;
}

static err read_headers(struct arena *arena, const struct conf *conf, struct export_config *out)
{
    str list = conf_text(conf, CONF_OTEL_EXPORTER_OTLP_HEADERS);
    if (list.len == 0)
        return OK;
    for (str rest = list, pair; rest.ptr && (pair = str_cut(&rest, ','), true);) {
        str value = pair, name = str_cut(&value, '=');
        if (name.len == 0 || !value.ptr || !is_header_text(pair) ||
            out->headers_count == EXPORT_HEADERS_MAX)
            return fail(arena, SETTING_INVALID,
                        "OTEL_EXPORTER_OTLP_HEADERS must be name=value,name=value, at most %d of "
                        "them, in printable ASCII",
                        EXPORT_HEADERS_MAX);
        out->headers[out->headers_count++] =
            (struct fetch_header){ str_z(arena, name), str_copy(arena, value) };
    }
    return OK;
}

static const char *path_of(struct arena *arena, const struct conf *conf, enum setting setting)
{
    str path = conf_text(conf, setting);
    return path.len > 0 ? str_z(arena, path) : NULL;
}

static err read_export(struct arena *arena, const struct conf *conf, struct export_config *out)
{
    *out = (struct export_config){
        .content_type = STR("application/x-protobuf"),
        .timeout_ms = (int)conf_int(conf, CONF_OTEL_EXPORTER_OTLP_TIMEOUT),
        .delay_us = conf_int(conf, CONF_OTEL_BSP_SCHEDULE_DELAY) * 1000,
        .records_max = (size_t)conf_int(conf, CONF_OTEL_BSP_MAX_QUEUE_SIZE),
        .batch_max = (size_t)conf_int(conf, CONF_OTEL_BSP_MAX_EXPORT_BATCH_SIZE),
        .ca = path_of(arena, conf, CONF_OTEL_EXPORTER_OTLP_CERTIFICATE),
        .cert = path_of(arena, conf, CONF_OTEL_EXPORTER_OTLP_CLIENT_CERTIFICATE),
        .key = path_of(arena, conf, CONF_OTEL_EXPORTER_OTLP_CLIENT_KEY),
    };
    if (out->batch_max > out->records_max)
        out->batch_max = out->records_max;
    out->bytes_max = out->records_max * SPAN_BYTES_TYPICAL + EXPORT_RECORD_BYTES_MAX;
    return read_headers(arena, conf, out);
}

/* ---- traces ---- */

static err read_ratio(struct arena *arena, const struct conf *conf, double *out)
{
    const char *text = str_z(arena, conf_text(conf, CONF_OTEL_TRACES_SAMPLER_ARG));
    char *end;
    *out = strtod(text, &end);
    if (end == text || *end || !(*out >= 0 && *out <= 1))
        return fail(arena, SETTING_INVALID,
                    "OTEL_TRACES_SAMPLER_ARG is \"%s\": give a number from 0 to 1", text);
    return OK;
}

static err read_sampler(struct arena *arena, const struct conf *conf, struct trace_config *out)
{
    static const char *const words[] = {
        "always_on",
        "always_off",
        "traceidratio",
        "parentbased_always_on",
        "parentbased_always_off",
        "parentbased_traceidratio",
    };
    int word;
    TRY(conf_choice(arena, conf, CONF_OTEL_TRACES_SAMPLER, words, 6, &word));
    TRY(read_ratio(arena, conf, &out->ratio));
    out->sampler = (enum trace_sampler)(word % 3);
    out->parent_based = word >= 3;
    out->slow_us = conf_int(conf, CONF_TRACE_SLOW) * 1000;
    return OK;
}

static void take_span(void *subject, const void *head, size_t head_size, const void *links,
                      size_t links_size)
{
    export_put(subject, head, head_size, links, links_size);
}

/* `exporter`: none, otlp, zipkin. */
static err open_traces(struct observe *self, struct arena *arena, const struct conf *conf,
                       int exporter)
{
    struct export_config export;
    struct trace_config config = { .take = take_span };
    bool is_zipkin = exporter == 2;

    TRY(read_sampler(arena, conf, &config));
    TRY(read_export(arena, conf, &export));
    if (is_zipkin) {
        TRY(check_url(arena, conf, CONF_OTEL_EXPORTER_ZIPKIN_ENDPOINT,
                      "OTEL_EXPORTER_ZIPKIN_ENDPOINT"));
        export.url = conf_text(conf, CONF_OTEL_EXPORTER_ZIPKIN_ENDPOINT);
        export.content_type = STR("application/json");
        export.headers_count = 0;
    } else {
        TRY(otlp_url(arena, conf, CONF_OTEL_EXPORTER_OTLP_TRACES_ENDPOINT,
                     "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "/v1/traces", &export.url));
    }
    export.name = "traces";
    export.encode = is_zipkin ? trace_zipkin : trace_otlp;
    export.subject = &self->source;
    self->traces = export_open(&export);
    config.subject = self->traces;
    trace_use(&config);
    return OK;
}

/* ---- logs ---- */

static void take_line(void *subject, const char *line, size_t len)
{
    export_put(subject, line, len, NULL, 0);
}

static err open_logs(struct observe *self, struct arena *arena, const struct conf *conf)
{
    struct export_config export;

    TRY(read_export(arena, conf, &export));
    TRY(otlp_url(arena, conf, CONF_OTEL_EXPORTER_OTLP_LOGS_ENDPOINT,
                 "OTEL_EXPORTER_OTLP_LOGS_ENDPOINT", "/v1/logs", &export.url));
    export.name = "logs";
    export.encode = log_otlp;
    export.subject = &self->source;
    self->logs = export_open(&export);
    log_use(take_line, self->logs);
    return OK;
}

/* ---- metrics ---- */

static err open_metrics(struct observe *self, struct arena *arena, const struct conf *conf)
{
    struct export_config export;
    str url;

    TRY(read_export(arena, conf, &export));
    TRY(otlp_url(arena, conf, CONF_OTEL_EXPORTER_OTLP_METRICS_ENDPOINT,
                 "OTEL_EXPORTER_OTLP_METRICS_ENDPOINT", "/v1/metrics", &url));
    struct metrics_push_config config = {
        .url = url,
        .headers_count = export.headers_count,
        .ca = export.ca,
        .cert = export.cert,
        .key = export.key,
        .timeout_ms = export.timeout_ms,
        .interval_us = conf_int(conf, CONF_OTEL_METRIC_EXPORT_INTERVAL) * 1000,
        .source = &self->source,
    };
    memcpy(config.headers, export.headers, sizeof config.headers);
    self->metrics = metrics_push_open(&config);
    return OK;
}

/* ---- opening and closing ---- */

static void name_source(struct observe *self, const struct conf *conf, const char *program)
{
    char id[UUID_TEXT_LEN];
    uuid_write(id_new(), id);
    self->source = (struct trace_source){
        .program = program,
        .service_name = str_copy(self->memory, conf_text(conf, CONF_OTEL_SERVICE_NAME)),
        .attributes = str_copy(self->memory, conf_text(conf, CONF_OTEL_RESOURCE_ATTRIBUTES)),
        .version = version_number(),
        .instance = str_copy(self->memory, str_of(id, sizeof id)),
    };
}

err observe_open(struct arena *arena, const struct conf *conf, const char *program,
                 struct observe **out)
{
    static const char *const exporters[] = { "none", "otlp", "zipkin" };
    int traces, logs, metrics;

    ASSERT(arena && conf && program && out);
    *out = NULL;
    TRY(conf_choice(arena, conf, CONF_OTEL_TRACES_EXPORTER, exporters, 3, &traces));
    TRY(conf_choice(arena, conf, CONF_OTEL_LOGS_EXPORTER, exporters, 2, &logs));
    TRY(conf_choice(arena, conf, CONF_OTEL_METRICS_EXPORTER, exporters, 2, &metrics));
    if (conf_int(conf, CONF_OTEL_SDK_DISABLED) || (traces == 0 && logs == 0 && metrics == 0))
        return OK;
    struct arena *memory = arena_open(ARENA_CHUNK_BYTES);
    struct observe *self = arena_new(memory, struct observe);
    *self = (struct observe){ .memory = memory };
    name_source(self, conf, program);
    err error = traces != 0 ? open_traces(self, arena, conf, traces) : OK;
    if (error == OK && logs != 0)
        error = open_logs(self, arena, conf);
    if (error == OK && metrics != 0)
        error = open_metrics(self, arena, conf);
    if (error != OK) {
        observe_close(self);
        return error;
    }
    *out = self;
    return OK;
}

void observe_close(struct observe *observe)
{
    if (!observe)
        return;
    trace_use(NULL);
    metrics_push_close(observe->metrics, CLOSE_PATIENCE_US);
    export_close(observe->traces, CLOSE_PATIENCE_US);
    log_use(NULL, NULL); /* what an exporter had to say went along */
    export_close(observe->logs, CLOSE_PATIENCE_US);
    arena_close(observe->memory);
}
