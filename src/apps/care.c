#include "apps/care.h"

#include "apps/backup.h"
#include "apps/life.h"
#include "base/json.h"
#include "chassis/dead_letters.h"
#include "chassis/keys.h"
#include "chassis/write.h"
#include "os/clock.h"

enum { CARE_BYTES_MAX = 1024 * 1024, ACTIONS_WAITING_MAX = 8, LETTERS_MAX = 1000, ACTIONS = 6 };

struct care {
    struct arena *memory; /* holds this struct */
    struct shop *shop;
    struct workers *workers;
    struct admin_action actions[ACTIONS];
};

/* ---- JSON in and out ---- */

static void add_text(struct text *out, bool *first, str name, str value)
{
    json_add_name(out, first, name);
    json_add_string(out, value.ptr ? value : STR(""));
}

static void add_number(struct text *out, bool *first, str name, int64_t value)
{
    json_add_name(out, first, name);
    text_add_int(out, value);
}

static err answer(struct request *request, const struct text *json)
{
    request->response = (struct response){ .status = 200,
                                           .content_type = STR("application/json"),
                                           .body = text_str(json) };
    response_add(&request->response, STR("Cache-Control"), STR("no-store"));
    return OK;
}

static err text_of_body(struct arena *arena, const struct json *body, str name, str *out)
{
    const struct json *value = json_member(body, name);
    if (!value || json_kind_of(value) != JSON_STRING)
        return fail_field(arena, FIELD_INVALID, str_format(arena, "/%" STR_F, STR_A(name)),
                          "it must be a text");
    *out = json_string(value);
    return OK;
}

static err service_of_body(const struct care *care, struct arena *arena, const struct json *body,
                           struct service **out)
{
    str name;
    TRY(text_of_body(arena, body, STR("service"), &name));
    *out = shop_service(care->shop, name);
    return *out ? OK : fail(arena, NOT_FOUND, "there is no service %" STR_F, STR_A(name));
}

/* ---- dead letters ---- */

static void add_letter(struct arena *arena, struct text *out, const char *service,
                       const struct dead_letter *letter)
{
    bool first = true;
    text_add(out, out->ptr[out->len - 1] == '[' ? STR("{") : STR(",{"));
    add_text(out, &first, STR("service"), str_of_z(service));
    add_text(out, &first, STR("topic"), letter->event.topic);
    add_text(out, &first, STR("key"), letter->event.key);
    add_number(out, &first, STR("number"), letter->event.number);
    add_text(out, &first, STR("type"), letter->event.type);
    add_text(out, &first, STR("event_id"), uuid_text(arena, letter->event.id));
    add_text(out, &first, STR("state"), letter->state);
    add_number(out, &first, STR("tries"), letter->tries);
    add_text(out, &first, STR("error"), letter->error);
    add_text(out, &first, STR("at"), time_text(arena, letter->at));
    text_add_byte(out, '}');
}

static err list_letters(void *self, struct request *request)
{
    const struct care *care = self;
    struct arena *arena = request->arena;
    struct text out = text_init(arena, 4096);
    text_add(&out, STR("{\"items\":["));
    for (int i = 0; i < care->shop->places_count; i++) {
        const struct shop_place *place = &care->shop->places[i];
        struct service *service = place->service;
        struct dead_letter_place after = { STR(""), STR(""), 0 };
        struct dead_letter *letters;
        struct db_reader *reader;
        size_t count;
        TRY(db_read_begin(service_db(service), arena, &reader));
        err error = dead_letters_list(reader, arena, &after, LETTERS_MAX, &letters, &count);
        db_read_end(reader);
        TRY(error);
        for (size_t j = 0; j < count; j++)
            add_letter(arena, &out, place->member->name, &letters[j]);
    }
    text_add(&out, STR("]}"));
    return answer(request, &out);
}

static err write_and_answer(struct service *service, struct request *request, struct write *write)
{
    err outcome;
    enum write_end end = writer_submit_and_wait(service_writer(service), write, &outcome);
    if (outcome != OK)
        return err_copy(request->arena, outcome);
    struct text out = text_init(request->arena, 32);
    text_add(&out, end == WRITE_REPEATED ? STR("{\"done\":false}") : STR("{\"done\":true}"));
    return answer(request, &out);
}

static err requeue_letters(void *self, struct request *request)
{
    struct arena *arena = request->arena;
    struct dead_letter_place *place = arena_new(arena, struct dead_letter_place);
    struct service *service;
    const struct json *body;
    TRY(json_read(arena, request->body, &body));
    TRY(service_of_body(self, arena, body, &service));
    TRY(text_of_body(arena, body, STR("topic"), &place->topic));
    TRY(text_of_body(arena, body, STR("key"), &place->key));
    return write_and_answer(service, request, write_new(arena, dead_letters_requeue, place));
}

/* Whether skipping the event that lies at a place may pass over others: it carries state, or is so
 * old that what it follows is not known any more. */
static err find_may_pass(struct service *service, struct arena *arena,
                         struct dead_letter_place place, bool *may_pass)
{
    struct dead_letter_place before = { place.topic, place.key, place.number - 1 };
    struct dead_letter *letters;
    struct db_reader *reader;
    size_t count;
    TRY(db_read_begin(service_db(service), arena, &reader));
    err error = dead_letters_list(reader, arena, &before, 1, &letters, &count);
    db_read_end(reader);
    TRY(error);
    if (count == 0 || !str_equal(letters[0].event.topic, place.topic) ||
        !str_equal(letters[0].event.key, place.key) || letters[0].event.number != place.number)
        return fail(arena, NOT_FOUND, "no letter %lld lies under %" STR_F " %" STR_F,
                    (long long)place.number, STR_A(place.topic), STR_A(place.key));
    *may_pass = service_hears_state(service, letters[0].event.type) ||
                str_starts(letters[0].error, err_word(EVENT_TOO_OLD));
    return OK;
}

static err skip_letter(void *self, struct request *request)
{
    struct arena *arena = request->arena;
    struct dead_letter_place place;
    struct service *service;
    const struct json *body, *number;
    TRY(json_read(arena, request->body, &body));
    TRY(service_of_body(self, arena, body, &service));
    TRY(text_of_body(arena, body, STR("topic"), &place.topic));
    TRY(text_of_body(arena, body, STR("key"), &place.key));
    number = json_member(body, STR("number"));
    if (!number || !json_int64(number, &place.number) || place.number < 0)
        return fail_field(arena, FIELD_INVALID, STR("/number"), "it must be a number from 0 on");
    bool may_pass = false;
    TRY(find_may_pass(service, arena, place, &may_pass));
    return write_and_answer(service, request, dead_letter_skip(arena, place, may_pass));
}

/* ---- one order ---- */

static err show_order(void *self, struct request *request)
{
    const struct care *care = self;
    struct text out = text_init(request->arena, 1);
    struct uuid id;
    str json;
    if (!str_starts(request->query, STR("id=")) ||
        !uuid_parse(str_slice(request->query, 3, request->query.len), &id))
        return fail(request->arena, QUERY_MALFORMED, "give ?id=");
    TRY(life_gather(care->shop, request->arena, id, &json));
    text_add(&out, json);
    return answer(request, &out);
}

/* ---- backups ---- */

static err make_backup(void *self, struct request *request)
{
    const struct care *care = self;
    struct arena *arena = request->arena;
    struct backup_made made;
    const struct json *body;
    str path;
    TRY(json_read(arena, request->body, &body));
    TRY(text_of_body(arena, body, STR("path"), &path));
    if (!str_starts(path, STR("/")))
        return fail_field(arena, FIELD_INVALID, STR("/path"), "it must be absolute");
    err error = backup_make(arena, care->shop, path, &made);
    if (err_is(error, OS_FAILED)) /* the operator may read why */
        return fail_over(arena, BACKUP_FAILED, error, "%" STR_F, STR_A(error->detail));
    TRY(error);
    struct text out = text_init(arena, 128);
    bool first = true;
    text_add_byte(&out, '{');
    add_text(&out, &first, STR("path"), path);
    add_number(&out, &first, STR("bytes"), made.bytes);
    add_number(&out, &first, STR("paused_us"), made.paused_us);
    text_add_byte(&out, '}');
    return answer(request, &out);
}

/* ---- keys ---- */

static const struct shop_place *who_rotates(const struct shop *shop)
{
    for (int i = 0; i < shop->places_count; i++)
        if (shop->places[i].member->rotate_keys)
            return &shop->places[i];
    return NULL;
}

static err rotate_keys(void *self, struct request *request)
{
    const struct care *care = self;
    struct arena *arena = request->arena;
    const struct json *body;
    str kid;
    TRY(json_read(arena, request->body, &body));
    const struct json *drops = json_member(body, STR("drop_old"));
    bool drops_others = drops && json_kind_of(drops) == JSON_BOOL && json_bool(drops);
    const struct shop_place *place = who_rotates(care->shop);
    if (!place)
        return fail(arena, NOT_FOUND, "Users, which has the keys, is in another program");
    TRY(place->member->rotate_keys(place->self, arena, drops_others, clock_wall_us(), &kid));
    struct text out = text_init(arena, 128);
    bool first = true;
    text_add_byte(&out, '{');
    add_text(&out, &first, STR("kid"), kid);
    add_number(&out, &first, STR("signs_in_s"), drops_others ? 0 : KEYS_GRACE_S);
    add_number(&out, &first, STR("retires_in_s"), drops_others ? 0 : KEYS_RETIRED_S);
    text_add_byte(&out, '}');
    return answer(request, &out);
}

/* ---- its life ---- */

struct care *care_open(struct shop *shop)
{
    ASSERT(shop);
    struct arena *memory = arena_open(CARE_BYTES_MAX);
    struct care *care = arena_new(memory, struct care);
    *care = (struct care){
        .memory = memory,
        .shop = shop,
        .workers = workers_open("operator", 1, ACTIONS_WAITING_MAX),
        .actions = { { HTTP_GET, "/operator/dead-letters", list_letters, care },
                     { HTTP_POST, "/operator/dead-letters/requeue", requeue_letters, care },
                     { HTTP_POST, "/operator/dead-letters/skip", skip_letter, care },
                     { HTTP_GET, "/operator/orders", show_order, care },
                     { HTTP_POST, "/operator/backup", make_backup, care },
                     { HTTP_POST, "/operator/keys/rotate", rotate_keys, care } },
    };
    return care;
}

void care_actions(struct care *care, struct admin_config *config)
{
    ASSERT(care && config);
    config->actions = care->actions;
    config->actions_count = ACTIONS;
    config->workers = care->workers;
}

void care_close(struct care *care)
{
    if (!care)
        return;
    workers_close(care->workers);
    arena_close(care->memory);
}
