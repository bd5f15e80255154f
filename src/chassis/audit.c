#include "chassis/audit.h"
#include "chassis/message.h"
#include "chassis/request.h"
#include "gen/chassis.sql.h"

enum { PAGE_STANDARD = 20 };

static const struct uuid ID_LAST = { { 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff,
                                       0xff, 0xff, 0xff, 0xff, 0xff, 0xff } };

/* ---- marking ---- */

static bool is_to_be_kept(const struct call *call)
{
    if (!call->spec || !call->write)
        return false;
    enum access access = call->spec->access;
    return call->is_audited || access == ACCESS_STAFF || access == ACCESS_ADMIN ||
           access == ACCESS_OPERATOR;
}

static const char *actor_of(const struct identity *who)
{
    if (who->operator_)
        return "operator";
    if (who->is_key)
        return "key";
    return who->roles & ROLE_BIT_ADMIN ? "admin" : "staff";
}

static str text_at(const struct message_spec *spec, const void *message, int field)
{
    if (field < 0 || !spec->fields[field].text)
        return STR("");
    return text_of(*(const ProtobufCBinaryData *)message_field(message, spec, field));
}

static int field_named_id(const struct message_spec *spec)
{
    for (unsigned i = 0; i < spec->descriptor->n_fields; i++)
        if (strcmp(spec->fields[i].json_name, "id") == 0)
            return (int)i;
    return -1;
}

/* The first variable of the path, else the id of what is answered with. */
static str subject_of(const struct call *call, const void *in)
{
    const struct call_spec *spec = call->spec;
    for (int i = 0; i < spec->pieces_count; i++)
        if (!spec->pieces[i].literal)
            return text_at(spec->request, in, spec->pieces[i].field);
    if (!call->answer)
        return STR("");
    return text_at(spec->response, call->answer, field_named_id(spec->response));
}

void audit_mark(struct call *call, const void *in)
{
    ASSERT(call && in);
    if (!is_to_be_kept(call))
        return;
    struct audit_entry *entry = arena_new(call->arena, struct audit_entry);
    *entry = (struct audit_entry){ .id = call_new_id(call), .call = call, .in = in };
    call->write->audit = entry;
}

static struct sql_audit_insert row_of(const struct audit_entry *entry)
{
    const struct call *call = entry->call;
    const struct request *request = call->request;
    return (struct sql_audit_insert){ .id = entry->id,
                                      .at = call->now,
                                      .actor = str_of_z(actor_of(&call->who)),
                                      .who = call->who.user,
                                      .call = str_of_z(call->spec->short_name),
                                      .subject = subject_of(call, entry->in),
                                      .request_id =
                                          request ? str_of_z(request->request_id) : STR("") };
}

err audit_put(struct tx *tx, const struct audit_entry *const *entries, size_t count)
{
    struct sql_audit_insert *rows = arena_array(tx->arena, struct sql_audit_insert, count);
    for (size_t i = 0; i < count; i++)
        rows[i] = row_of(entries[i]);
    return sql_audit_insert_many(tx, rows, count, NULL);
}

err audit_put_setting(struct tx *tx, struct uuid id, const char *setting, str subject)
{
    ASSERT(tx && setting);
    struct sql_audit_insert row = { .id = id,
                                    .at = tx->now,
                                    .actor = STR("operator"),
                                    .call = str_of_z(setting),
                                    .subject = subject,
                                    .request_id = STR("") };
    return sql_audit_insert_many(tx, &row, 1, NULL);
}

err audit_sweep(struct tx *tx, time_us before, int32_t rows_max, int64_t *dropped)
{
    ASSERT(tx && rows_max > 0 && dropped);
    struct sql_audit_sweep row = { before, rows_max };
    return sql_audit_sweep(tx, &row, dropped);
}

/* ---- reading ---- */

/* Where a page begins, and whose entries it holds. */
struct page {
    struct uuid before, who; /* who: nil for anybody */
    str subject;             /* empty for any */
    int32_t rows_max;
};

static err find_all(struct call *call, struct db_reader *reader, const struct page *page,
                    struct sql_audit_page_row **rows, size_t *count)
{
    struct sql_audit_page params = { page->before, page->who, page->rows_max };
    return sql_audit_page(reader, call->arena, &params, rows, count);
}

static err find_of_subject(struct call *call, struct db_reader *reader, const struct page *page,
                           struct sql_audit_page_row **rows, size_t *count)
{
    struct sql_audit_page_of_subject_row *found;
    struct sql_audit_page_of_subject params = { page->subject, page->before, page->who,
                                                page->rows_max };
    TRY(sql_audit_page_of_subject(reader, call->arena, &params, &found, count));
    *rows = arena_array(call->arena, struct sql_audit_page_row, *count);
    for (size_t i = 0; i < *count; i++)
        (*rows)[i] = (struct sql_audit_page_row){ .id = found[i].id,
                                                  .at = found[i].at,
                                                  .actor = found[i].actor,
                                                  .who = found[i].who,
                                                  .call = found[i].call,
                                                  .subject = found[i].subject,
                                                  .request_id = found[i].request_id };
    return OK;
}

static Duka__AuditEntry *entry_view(struct arena *arena, const struct sql_audit_page_row *row)
{
    Duka__AuditEntry *entry = message_new(arena, &duka_audit_entry_spec);
    entry->id = field_of_uuid(arena, row->id);
    entry->at = field_of_time(arena, row->at);
    entry->actor = field_of(row->actor);
    if (!uuid_is_nil(row->who))
        entry->actor_id = field_of_uuid(arena, row->who);
    entry->call = field_of(row->call);
    entry->subject = field_of(row->subject);
    entry->request_id = field_of(row->request_id);
    return entry;
}

static err place_of(struct call *call, str after, struct uuid *before)
{
    str position;
    *before = ID_LAST;
    if (after.len == 0)
        return OK;
    TRY(cursor_read(call, after, &position));
    if (!uuid_parse(position, before))
        return fail(call->arena, CURSOR_INVALID, "the cursor holds no place in this list");
    return OK;
}

err audit_answer(struct call *call, const Duka__ListAuditRequest *in)
{
    struct db_reader *reader;
    struct sql_audit_page_row *rows = NULL;
    size_t count = 0, limit = in->limit > 0 ? (size_t)in->limit : PAGE_STANDARD;
    struct page page = { .subject = text_of(in->subject),
                         .rows_max = (int32_t)limit + 1 }; /* one more: is there a next page? */
    if (in->actor_id.len > 0)
        page.who = uuid_of_field(in->actor_id);
    TRY(place_of(call, text_of(in->after), &page.before));
    TRY(call_reader(call, &reader));
    TRY((page.subject.len > 0 ? find_of_subject : find_all)(call, reader, &page, &rows, &count));

    Duka__AuditList *list = message_new(call->arena, &duka_audit_list_spec);
    if (count > limit) {
        count = limit;
        list->next = field_of(cursor_write(call, uuid_text(call->arena, rows[count - 1].id)));
    }
    list->items = arena_array(call->arena, Duka__AuditEntry *, count);
    list->n_items = count;
    for (size_t i = 0; i < count; i++)
        list->items[i] = entry_view(call->arena, &rows[i]);
    return call_answer(call, list);
}
