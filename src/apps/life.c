#include "apps/life.h"

#include "base/json.h"
#include "chassis/dead_letters.h"

enum { EVENTS_MAX = 200 };

static void add_text(struct text *out, bool *first, str name, str value)
{
    json_add_name(out, first, name);
    json_add_string(out, value.ptr ? value : STR(""));
}

static void add_event(struct arena *arena, struct text *out, const char *service,
                      const struct event_known *event)
{
    bool first = true;
    text_add(out, out->ptr[out->len - 1] == '[' ? STR("{") : STR(",{"));
    add_text(out, &first, STR("service"), str_of_z(service));
    add_text(out, &first, STR("place"), event->place);
    add_text(out, &first, STR("topic"), event->topic);
    json_add_name(out, &first, STR("number"));
    text_add_int(out, event->number);
    add_text(out, &first, STR("type"), event->type);
    if (event->at != 0)
        add_text(out, &first, STR("at"), time_text(arena, event->at));
    text_add_byte(out, '}');
}

static err add_events(const struct shop_place *place, struct arena *arena, str key,
                      struct text *out)
{
    struct event_known *events;
    struct db_reader *reader;
    size_t count;
    TRY(db_read_begin(service_db(place->service), arena, &reader));
    err error = events_of_key(reader, arena, key, EVENTS_MAX, &events, &count);
    db_read_end(reader);
    TRY(error);
    for (size_t i = 0; i < count; i++)
        add_event(arena, out, place->member->name, &events[i]);
    return OK;
}

/* Orders has a row of it, or Products a reservation, or somebody an event. */
static bool is_known(struct arena *arena, str json)
{
    const struct json *life;
    if (json_read(arena, json, &life) != OK)
        return false;
    const struct json *reservation = json_member(life, STR("reservation"));
    return json_member(life, STR("order")) || json_count(json_member(life, STR("events"))) > 0 ||
           (reservation && !str_equal(json_string(reservation), STR("none")));
}

err life_gather(struct shop *shop, struct arena *arena, struct uuid order, str *json)
{
    ASSERT(shop && arena && json);
    struct text out = text_init(arena, 2048);
    bool first = true;
    text_add_byte(&out, '{');
    for (int i = 0; i < shop->places_count; i++) {
        const struct shop_place *place = &shop->places[i];
        if (place->member->tell_order)
            TRY(place->member->tell_order(place->self, arena, order, &out, &first));
    }
    json_add_name(&out, &first, STR("events"));
    text_add_byte(&out, '[');
    for (int i = 0; i < shop->places_count; i++)
        TRY(add_events(&shop->places[i], arena, uuid_text(arena, order), &out));
    text_add(&out, STR("]}"));
    *json = text_str(&out);
    return is_known(arena, *json) ? OK : fail(arena, NOT_FOUND, "nothing is known of this order");
}
