#include "chassis/audit.h"

#include "counter.h"

/* What the trail holds, as the call that lists it answers. */
static const Duka__AuditList *trail(struct counter *counter, const Duka__ListAuditRequest *asked)
{
    struct test *t = counter->t;
    struct call *job = service_job_open(counter->service, "test");
    job->cursor_life_us = 3600 * TIME_SECOND; /* as dispatch gives it */
    CHECK_OK(audit_answer(job, asked));
    void *copy;
    str packed = message_pack(t->arena, job->answer);
    CHECK_OK(message_unpack(t->arena, packed, &duka_audit_list_spec, &copy));
    service_job_close(job);
    return copy;
}

static Duka__ListAuditRequest *page(struct test *t, int32_t limit)
{
    Duka__ListAuditRequest *asked = message_new(t->arena, &duka_list_audit_request_spec);
    asked->limit = limit;
    return asked;
}

static const Duka__AuditList *whole(struct counter *counter)
{
    return trail(counter, page(counter->t, 100));
}

/* A call for staff that changes something. */
static struct answer_seen change(struct inline_client *client, const char *path)
{
    static const char *const headers[] = { "Content-Type: text/csv", "X-Request-Id: asked-7",
                                           NULL };
    return inline_request(client, "POST", path, headers, STR("a,b\n"));
}

TEST(what_staff_changes_leaves_who_what_and_under_which_request)
{
    struct counter *counter = counter_started(t);
    struct inline_client staff = counter_user(counter, ROLE_BIT_STAFF);
    struct inline_client admin = counter_user(counter, ROLE_BIT_ADMIN | ROLE_BIT_STAFF);
    CHECK_STATUS(change(&staff, "/spool/mug"), 200);
    CHECK_STATUS(change(&admin, "/spool/tea"), 200);

    const Duka__AuditList *list = whole(counter);
    CHECK_INT(list->n_items, 2);
    const Duka__AuditEntry *newest = list->items[0], *first = list->items[1];
    CHECK_STR(text_of(newest->actor), "admin");
    CHECK_STR(text_of(newest->subject), "tea");
    CHECK_STR(text_of(first->actor), "staff");
    CHECK_STR(text_of(first->subject), "mug");
    CHECK_STR(text_of(first->request_id), "asked-7");
    CHECK(!uuid_is_nil(uuid_of_field(first->actor_id)));
    CHECK(first->at && first->call.len > 0);
    CHECK_INT(list->next.len, 0);
}

TEST(what_was_refused_and_what_customers_do_leaves_nothing)
{
    struct counter *counter = counter_started(t);
    struct inline_client customer = counter_user(counter, ROLE_BIT_CUSTOMER);
    struct inline_client staff = counter_user(counter, ROLE_BIT_STAFF);
    CHECK_PROBLEM(change(&customer, "/spool/mug"), 403, "auth.role_missing");
    struct inline_client anyone = counter_anyone(counter);
    CHECK_STATUS(inline_get(&anyone, "/counters"), 200);
    CHECK_STATUS(counter_post(&customer, "/counters/mug", "k", counter_body(counter, 1, "")), 200);
    CHECK_INT(whole(counter)->n_items, 0);
    CHECK_STATUS(change(&staff, "/spool/mug"), 200);
    CHECK_INT(whole(counter)->n_items, 1);
}

static err refuse_all(struct tx *tx, struct write *const *writes, size_t count, err *outcomes)
{
    (void)writes;
    for (size_t i = 0; i < count; i++)
        outcomes[i] = fail(tx->arena, STOCK_INSUFFICIENT, "no");
    return OK;
}

static err change_nothing(struct tx *tx, struct write *const *writes, size_t count, err *outcomes)
{
    (void)tx, (void)writes;
    for (size_t i = 0; i < count; i++)
        outcomes[i] = OK;
    return OK;
}

/* Marks a write as a call of the operator would, and hands it over. */
static err write_marked(struct counter *counter, write_batch *batch)
{
    static const struct call_spec spec = { .short_name = "counter.made",
                                           .access = ACCESS_OPERATOR,
                                           .request = &duka_empty_spec,
                                           .response = &duka_empty_spec };
    struct call *job = service_job_open(counter->service, "test");
    job->spec = &spec;
    job->who.operator_ = true;
    struct write *write = call_write(job, batch, NULL);
    audit_mark(job, message_new(job->arena, &duka_empty_spec));
    CHECK(write->audit);
    err error = err_copy(counter->t->arena, job_write(job, write));
    service_job_close(job);
    return error;
}

TEST(the_row_goes_into_the_transaction_of_the_change)
{
    struct counter *counter = counter_started(t);
    CHECK_ERR(write_marked(counter, refuse_all), STOCK_INSUFFICIENT);
    CHECK_INT(whole(counter)->n_items, 0);
    CHECK_OK(write_marked(counter, change_nothing));
    const Duka__AuditList *list = whole(counter);
    CHECK_INT(list->n_items, 1);
    CHECK_STR(text_of(list->items[0]->actor), "operator");
    CHECK_INT(list->items[0]->actor_id.len, 0);
    CHECK_STR(text_of(list->items[0]->call), "counter.made");
}

TEST(pages_of_the_trail_hold_each_row_once_and_may_be_of_one_subject_or_one_account)
{
    struct counter *counter = counter_started(t);
    struct inline_client staff = counter_user(counter, ROLE_BIT_STAFF);
    for (int i = 0; i < 5; i++) {
        CHECK_STATUS(change(&staff, "/spool/mug"), 200);
    }
    CHECK_STATUS(change(&staff, "/spool/tea"), 200);

    Duka__ListAuditRequest *asked = page(t, 4);
    const Duka__AuditList *first = trail(counter, asked);
    CHECK_INT(first->n_items, 4);
    CHECK(first->next.len > 0);
    asked->after = first->next;
    const Duka__AuditList *rest = trail(counter, asked);
    CHECK_INT(rest->n_items, 2);
    CHECK_INT(rest->next.len, 0);
    for (size_t i = 0; i < 4; i++)
        for (size_t j = 0; j < 2; j++)
            CHECK(!str_equal(text_of(first->items[i]->id), text_of(rest->items[j]->id)));

    asked = page(t, 100);
    asked->subject = field_of(STR("tea"));
    CHECK_INT(trail(counter, asked)->n_items, 1);
    asked->actor_id = first->items[0]->actor_id;
    CHECK_INT(trail(counter, asked)->n_items, 1);
    asked->subject = field_of(STR(""));
    CHECK_INT(trail(counter, asked)->n_items, 6);
    asked->actor_id = field_of_uuid(t->arena, (struct uuid){ { 9 } });
    CHECK_INT(trail(counter, asked)->n_items, 0);
    asked->subject = field_of(STR("tea"));
    CHECK_INT(trail(counter, asked)->n_items, 0);
}

struct swept {
    time_us before;
    int64_t dropped;
};

static err sweep(struct tx *tx, struct write *const *writes, size_t count, err *outcomes)
{
    for (size_t i = 0; i < count; i++) {
        struct swept *swept = writes[i]->subject;
        TRY(audit_sweep(tx, swept->before, 2, &swept->dropped));
        outcomes[i] = OK;
    }
    return OK;
}

static int64_t sweep_before(struct counter *counter, time_us before)
{
    struct call *job = service_job_open(counter->service, "test");
    struct swept swept = { .before = before };
    CHECK_OK(job_write(job, write_new(job->arena, sweep, &swept)));
    service_job_close(job);
    return swept.dropped;
}

TEST(the_sweeper_drops_the_oldest_first_and_no_young_one)
{
    struct counter *counter = counter_started(t);
    for (int i = 0; i < 3; i++)
        CHECK_OK(write_marked(counter, change_nothing));
    str newest = text_of(whole(counter)->items[0]->id);
    CHECK_INT(sweep_before(counter, 1), 0);
    CHECK_INT(whole(counter)->n_items, 3);
    CHECK_INT(sweep_before(counter, INT64_MAX), 2);
    const Duka__AuditList *left = whole(counter);
    CHECK_INT(left->n_items, 1);
    CHECK_STR(text_of(left->items[0]->id), newest);
}
