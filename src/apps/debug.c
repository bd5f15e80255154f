#include "apps/debug.h"

#include "apps/neighbours.h"
#include "chassis/flights.h"
#include "chassis/html.h"
#include "chassis/service_state.h"
#include "chassis/version.h"
#include "os/clock.h"
#include "os/process.h"

enum { PAGES = 3, IN_FLIGHT_SHOWN = 100, PEERS_SHOWN = 64 };

struct debug {
    struct shop *shop;
    struct admin *admin;
    const struct front *front;
    struct gateway *gateway; /* NULL: it is elsewhere */
    struct admin_page pages[PAGES];
};

/* ---- what all parts need ---- */

static str number(struct arena *arena, int64_t n)
{
    return str_format(arena, "%lld", (long long)n);
}

static void cell_trace(const struct debug *debug, struct html *page, str trace_id)
{
    html_cell_link(page, trace_id,
                   debug_trace_url(page->out.arena, debug->shop->house.conf, trace_id));
}

/* ---- health ---- */

static void add_health(const struct debug *debug, struct html *page)
{
    static const char *const states[] = { "ok", "degraded", "failed" };
    static const enum html_tone tones[] = { HTML_GOOD, HTML_WARN, HTML_BAD };
    struct admin_told told;

    html_section(page, "Health", "What /readyz tells. What is degraded can still serve.");
    html_table(page, "Check|State|What that means");
    for (int i = 0; debug->admin && admin_tell(debug->admin, i, &told); i++) {
        html_row(page);
        html_cell(page, str_of_z(told.name), HTML_PLAIN);
        html_cell(page, str_of_z(states[told.health]), tones[told.health]);
        html_cell(page, told.words ? str_of_z(told.words) : STR(""), HTML_QUIET);
    }
    html_table_end(page);
}

/* ---- calls ---- */

static void add_flights(const struct debug *debug, struct html *page, struct flight_seen *seen,
                        int count)
{
    int64_t now_us = clock_mono_us();
    for (int i = 0; i < count; i++) {
        html_row(page);
        html_cell(page, str_of_z(seen[i].call), HTML_PLAIN);
        html_cell(page, str_of_z(seen[i].state), HTML_PLAIN);
        html_cell_time(page, now_us - seen[i].since_us, 0);
        cell_trace(debug, page, str_of_z(seen[i].trace_id));
    }
}

/* Of each service in this program, and of the gateway what it passes on to others; NULL: there are
 * no more. */
static struct flights *flights_at(const struct debug *debug, int nth)
{
    if (nth < debug->shop->places_count)
        return service_flights(debug->shop->places[nth].service);
    bool is_front = nth == debug->shop->places_count && debug->gateway;
    return is_front ? debug->front->flights(debug->gateway) : NULL;
}

static void add_calls(const struct debug *debug, struct html *page)
{
    struct flights *flights;
    struct flight_seen *seen = arena_array(page->out.arena, struct flight_seen, IN_FLIGHT_SHOWN);
    int all = 0, shown = 0, count;

    html_section(page, "Calls in flight",
                 "The oldest first. Queued: for a thread. Writing: until its write is on disk. "
                 "Waiting: until its order has settled. Passed on: to another program.");
    html_table(page, "Call|State|Since|Trace");
    for (int i = 0; (flights = flights_at(debug, i)); i++) {
        all += flights_list(flights, seen, IN_FLIGHT_SHOWN, &count);
        add_flights(debug, page, seen, count);
        shown += count;
    }
    html_table_end(page);
    if (all == 0)
        html_words(page, STR("None."));
    if (all > shown)
        html_words(page, str_format(page->out.arena, "And %d more.", all - shown));
}

static void add_slow(const struct debug *debug, struct html *page)
{
    struct arena *arena = page->out.arena;
    struct flight_slow slow[FLIGHTS_SLOW_MAX];
    struct flights *flights;
    int all = 0;

    html_section(page, "Slow calls", "The last ones that took as long as TRACE_SLOW or longer.");
    html_table(page, "When|Call|Took|Outcome|Trace");
    for (int i = 0; (flights = flights_at(debug, i)); i++) {
        int count = flights_list_slow(flights, slow);
        for (int j = 0; j < count; j++, all++) {
            bool is_ok = str_equal(slow[j].outcome, STR("ok"));
            html_row(page);
            html_cell(page, time_text(arena, slow[j].at), HTML_PLAIN);
            html_cell(page, str_of_z(slow[j].call), HTML_PLAIN);
            html_cell_time(page, slow[j].took_us, 0);
            html_cell(page, slow[j].outcome, is_ok ? HTML_GOOD : HTML_WARN);
            cell_trace(debug, page, str_of_z(slow[j].trace_id));
        }
    }
    html_table_end(page);
    if (all == 0)
        html_words(page, STR("None."));
}

/* ---- pools ---- */

static void row_pool(struct html *page, const char *name, const struct workers_stats *stats)
{
    enum { LATE_US = 100000 };
    struct arena *arena = page->out.arena;
    html_row(page);
    html_cell(page, str_of_z(name), HTML_PLAIN);
    html_cell(page, str_format(arena, "%d of %d", stats->busy, stats->threads),
              stats->busy == stats->threads ? HTML_WARN : HTML_PLAIN);
    html_cell(page, str_format(arena, "%d of %d", stats->queue, stats->queue_max), HTML_PLAIN);
    html_cell(page, stats->queue > 0 ? html_time(arena, stats->oldest_us) : STR("\xe2\x80\x93"),
              stats->oldest_us > LATE_US ? HTML_WARN : HTML_PLAIN);
    html_cell(page, html_time(arena, stats->pace_us), HTML_PLAIN);
    html_cell(page, number(arena, stats->refused), stats->refused > 0 ? HTML_WARN : HTML_PLAIN);
}

static void row_lanes(struct html *page, const char *service, const struct lanes_stats *stats)
{
    struct arena *arena = page->out.arena;
    int busy = stats->working + stats->out;
    html_row(page);
    html_cell(page, str_format(arena, "%s of %s", stats->name, service), HTML_PLAIN);
    html_cell(page, str_format(arena, "%d of %d", busy, stats->threads_max),
              busy >= stats->threads_max && busy > 0 ? HTML_WARN : HTML_PLAIN);
    html_cell(page, str_format(arena, "%d of %d", stats->waiting, LANES_ROOM), HTML_PLAIN);
    html_cell(page, STR("\xe2\x80\x93"), HTML_PLAIN);
    html_cell(page, STR("\xe2\x80\x93"), HTML_PLAIN);
    html_cell(page, STR("\xe2\x80\x93"), HTML_PLAIN);
}

static void add_pools(const struct debug *debug, struct html *page)
{
    const struct house *house = &debug->shop->house;
    struct workers_stats stats = workers_stats_of(house->workers);

    html_section(page, "Pools and queues",
                 "Lanes are busy while they work or wait for the outside (a payment provider, a "
                 "mail server).");
    html_table(page, "Pool|Busy|Waiting|Oldest waits|Pace|Refused");
    row_pool(page, "requests", &stats);
    if (house->password_lanes) {
        stats = workers_stats_of(house->password_lanes);
        row_pool(page, "passwords", &stats);
    }
    for (int i = 0; i < debug->shop->places_count; i++) {
        struct service_state state;
        service_state_of(debug->shop->places[i].service, &state);
        for (int j = 0; j < state.lanes_count; j++)
            row_lanes(page, state.name, &state.lanes[j]);
    }
    html_table_end(page);
}

/* ---- writers, databases, the way out ---- */

static void row_writer(struct html *page, const struct service_state *state)
{
    struct arena *arena = page->out.arena;
    const struct writer_stats *writer = &state->writer;
    int64_t commits = writer->batches > 0 ? writer->batches : 1;
    html_row(page);
    html_cell(page, str_of_z(state->name), HTML_PLAIN);
    html_cell_number(page, writer->queue);
    html_cell_number(page, writer->writes);
    html_cell_number(page, writer->batches);
    html_cell(page,
              str_format(arena, "%lld.%lld", (long long)(writer->writes / commits),
                         (long long)(writer->writes * 10 / commits % 10)),
              HTML_PLAIN);
    html_cell(page, html_time(arena, writer->commit_us / commits), HTML_PLAIN);
}

static void row_database(struct html *page, const struct service_state *state)
{
    struct arena *arena = page->out.arena;
    const struct db_stats *stats = &state->database;
    bool is_away = state->database_away_us > 0;
    html_row(page);
    html_cell(page, str_format(arena, "%s (%s)", state->name, state->engine), HTML_PLAIN);
    html_cell(page,
              is_away ? str_format(arena, "away for %" STR_F,
                                   STR_A(html_time(arena, state->database_away_us)))
                      : STR("there"),
              is_away ? HTML_BAD : HTML_GOOD);
    html_cell(page, str_format(arena, "%d of %d", stats->readers_busy, stats->readers_max),
              stats->readers_busy >= stats->readers_max ? HTML_WARN : HTML_PLAIN);
    html_cell_number(page, stats->reads);
    html_cell_number(page, stats->statements);
    html_cell(page, number(arena, stats->failures), stats->failures > 0 ? HTML_WARN : HTML_PLAIN);
    html_cell(page,
              stats->file_bytes > 0 ? str_format(arena, "%lld KiB, log %lld KiB",
                                                 (long long)(stats->file_bytes / 1024),
                                                 (long long)(stats->wal_bytes / 1024))
                                    : STR("\xe2\x80\x93"),
              HTML_PLAIN);
}

static void add_stores(const struct debug *debug, struct html *page)
{
    struct service_state states[SHOP_MEMBERS_MAX];
    int count = debug->shop->places_count;
    if (count == 0)
        return; /* a gateway alone */
    for (int i = 0; i < count; i++)
        service_state_of(debug->shop->places[i].service, &states[i]);

    html_section(page, "Writers",
                 "One a database; what gathers during a commit is the next batch.");
    html_table(page, "Service|>Waiting|>Writes|>Commits|Writes in a commit|Time of a commit");
    for (int i = 0; i < count; i++)
        row_writer(page, &states[i]);
    html_table_end(page);
    html_section(page, "Databases", "");
    html_table(page, "Service|State|Readers busy|>Reads|>Statements|Failures|Size");
    for (int i = 0; i < count; i++)
        row_database(page, &states[i]);
    html_table_end(page);
    html_section(page, "Events on their way out",
                 "Taken from the outbox and not yet acknowledged by the bus.");
    html_table(page, "Service|>Events|Sent by");
    for (int i = 0; i < count; i++) {
        html_row(page);
        html_cell(page, str_of_z(states[i].name), HTML_PLAIN);
        html_cell_number(page, states[i].outbox);
        html_cell(page, states[i].sends ? STR("this program") : STR("another replica, or nobody"),
                  HTML_QUIET);
    }
    html_table_end(page);
    if (debug->shop->house.bus) {
        struct bus_state bus = bus_state_of(debug->shop->house.bus);
        html_words(page, str_format(page->out.arena, "Bus: %s, %s, %lld events under way.",
                                    bus.name, bus.is_up ? "connected" : "the broker is away",
                                    (long long)bus.backlog));
    }
}

/* ---- other programs ---- */

static void add_upstream(struct html *page, const struct upstream *upstream)
{
    struct arena *arena = page->out.arena;
    struct upstream_state state;
    struct upstream_peer_state *peers = arena_array(arena, struct upstream_peer_state, PEERS_SHOWN);
    int count = upstream_state_of(upstream, &state, peers, PEERS_SHOWN);

    for (int i = 0; i < count || i == 0; i++) {
        const struct upstream_peer_state *peer = i < count ? &peers[i] : NULL;
        html_row(page);
        html_cell(page, i == 0 ? str_of_z(state.name) : STR(""), HTML_PLAIN);
        html_cell(page, peer ? str_of_z(peer->address) : STR("no address is known yet"),
                  peer ? HTML_PLAIN : HTML_QUIET);
        html_cell_number(page, peer ? peer->connections : 0);
        html_cell(page,
                  !peer || peer->paused_ms == 0
                      ? STR("closed")
                      : str_format(arena, "open for %" STR_F,
                                   STR_A(html_time(arena, peer->paused_ms * 1000))),
                  peer && peer->paused_ms > 0 ? HTML_BAD : HTML_GOOD);
        html_cell_number(page, peer ? peer->failures : 0);
        html_cell(page,
                  i == 0 ? str_format(arena, "%d, %d wait", state.requests, state.waiting)
                         : STR(""),
                  HTML_PLAIN);
    }
}

static const struct upstream *way_at(const struct debug *debug, int nth)
{
    return debug->gateway ? debug->front->way(debug->gateway, nth) : NULL;
}

static void add_neighbours(const struct debug *debug, struct html *page)
{
    static const enum shop_part parts[] = { SHOP_USERS, SHOP_PRODUCTS, SHOP_ORDERS };
    for (size_t i = 0; debug->shop->neighbours && i < sizeof parts / sizeof parts[0]; i++) {
        struct upstream *upstream = neighbours_upstream(debug->shop->neighbours, parts[i]);
        if (upstream)
            add_upstream(page, upstream);
    }
}

static void add_upstreams(const struct debug *debug, struct html *page)
{
    const struct upstream *way;
    if (!debug->shop->neighbours && !way_at(debug, 0))
        return;
    html_section(page, "Other programs",
                 "The services, and what routes name by URL. A breaker that is open leaves its "
                 "address alone for a while, because it failed.");
    html_table(page, "To|Address|>Connections|Breaker|>Failures in a row|Requests");
    add_neighbours(debug, page);
    for (int i = 0; (way = way_at(debug, i)); i++)
        add_upstream(page, way);
    html_table_end(page);
}

/* ---- the page of now ---- */

static err show_now(void *self, struct request *request)
{
    const struct debug *debug = self;
    struct arena *arena = request->arena;
    str about =
        str_format(arena, "%" STR_F ". Process %lld, %lld MiB, up %" STR_F ". Seen at %" STR_F ".",
                   STR_A(version_line(arena)), (long long)process_id(),
                   (long long)(process_resident_bytes() / (1024 * 1024)),
                   STR_A(html_time(arena, clock_wall_us() - process_started_at())),
                   STR_A(time_text(arena, clock_wall_us() / TIME_SECOND * TIME_SECOND)));
    struct html page = html_begin(arena, STR("What happens now"), about);

    html_form(&page, "/debug/orders", "id", "An order's id");
    add_health(debug, &page);
    add_calls(debug, &page);
    add_slow(debug, &page);
    add_pools(debug, &page);
    add_stores(debug, &page);
    add_upstreams(debug, &page);
    html_answer(request, 200, html_end(&page));
    return OK;
}

static err show_order(void *self, struct request *request)
{
    const struct debug *debug = self;
    return debug_show_order(debug->shop, request);
}

struct debug *debug_new(struct arena *memory, struct shop *shop)
{
    ASSERT(memory && shop);
    struct debug *debug = arena_new(memory, struct debug);
    *debug = (struct debug){
        .shop = shop,
        .pages = { { "/debug", false, false, show_now, debug },
                   { "/debug/orders", false, true, show_order, debug },
                   { "/debug/orders/", true, true, show_order, debug } },
    };
    return debug;
}

void debug_pages(struct debug *debug, struct admin_config *config)
{
    ASSERT(debug && config);
    config->pages = debug->pages;
    config->pages_count = PAGES;
}

void debug_look_at_front(struct debug *debug, const struct front *front, struct gateway *gateway)
{
    ASSERT(debug && (front || !gateway));
    debug->front = front;
    debug->gateway = gateway;
}

void debug_look_at(struct debug *debug, struct admin *admin)
{
    ASSERT(debug);
    debug->admin = admin;
}
