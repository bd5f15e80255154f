/* A mail, and how it goes over the wire (RFC 5322, 2045, 2047). Pure: what carries it is the
 * mailer's (mailer.h). */
#pragma once
#include "base/arena.h"
#include "base/time.h"

enum { MAIL_LINE_BYTES_MAX = 76 }; /* of an encoded line */

struct mail {
    str message_id; /* without brackets: the same for every try, so that a repeat can be told */
    str from;       /* "shop@example.com" or "A Shop <shop@example.com>" */
    str to;         /* a bare address */
    str subject;    /* one line of any text */
    str text;       /* UTF-8, lines end with \n */
    str html;       /* the same in HTML; none: there is the text alone */
    time_us date;
};

/* The whole message with CRLF at the end of each line: head, then the text, or text and HTML as
 * alternatives. Nothing in a field can add another header: line breaks become spaces. */
str mail_message(struct arena *arena, const struct mail *mail);

/* The bare address of "Name <address>" or "address"; false where it has none, white space or no
 * '@'. */
bool mail_address(str from, str *out);

/* The domain of an address: what follows its last '@'. */
str mail_domain(str address);
