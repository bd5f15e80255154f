/* What Users does on the events of Orders: it knows the address, so it tells the customer. The mail
 * is a row in the transaction that takes the event, so each event has one. */
#include "gen/users.h"
#include "services/users/inside.h"
#include "services/users/store.h"

static bool mail_kind_of_news(Orders__NewsKind kind, enum mail_kind *out)
{
    static const enum mail_kind kinds[] = {
        [ORDERS__NEWS_KIND__NEWS_KIND_CONFIRMED] = MAIL_ORDER_CONFIRMED,
        [ORDERS__NEWS_KIND__NEWS_KIND_REJECTED] = MAIL_ORDER_REJECTED,
        [ORDERS__NEWS_KIND__NEWS_KIND_SHIPPED] = MAIL_ORDER_SHIPPED,
        [ORDERS__NEWS_KIND__NEWS_KIND_CANCELLED] = MAIL_ORDER_CANCELLED,
        [ORDERS__NEWS_KIND__NEWS_KIND_REFUNDED] = MAIL_ORDER_REFUNDED,
    };
    if (kind < ORDERS__NEWS_KIND__NEWS_KIND_CONFIRMED ||
        kind > ORDERS__NEWS_KIND__NEWS_KIND_REFUNDED)
        return false; /* of a newer version */
    *out = kinds[kind];
    return true;
}

static struct money money_of(const Duka__Money *field)
{
    struct money money = { 0 };
    if (field && field->currency.len == sizeof money.currency.letters - 1) {
        money.minor = field->amount;
        memcpy(money.currency.letters, field->currency.data, field->currency.len);
    }
    return money;
}

/* Whether there still is such an account is seen when the mail is sent. */
err users_on_order_news(struct users *self, struct call *call, const Orders__OrderNews *in)
{
    enum mail_kind kind;
    if (!mail_kind_of_news(in->kind, &kind) || !self->sends[kind] || in->customer_id.len == 0)
        return OK;
    struct mail_job *job = users_new_mail(call, kind);
    job->user = uuid_of_field(in->customer_id);
    job->about = uuid_of_field(in->order_id);
    job->total = money_of(in->amount);
    job->reason = text_of(in->reason);
    users_send_after(self, call, call_write(call, store_add_mails, job), job);
    return OK;
}
