/* What Users does by itself, told by timers. */
#pragma once
#include "chassis/call.h"

enum {
    FOLLOW_TICK_MS = 1000,
    KEYS_TICK_MS = 5000,
    FIRST_ADMIN_TICK_MS = 1000,
    MAILS_TICK_MS = 1000,
};

/* What a mail lane does: writes the mail, sends it, and is done with it or puts it off. */
err users_run_mail(void *self, struct call *call, struct uuid id);

/* Gives the lanes what is due: what waits for another try, was left by a crash, or found no room.
 */
err users_give_due_mails(void *self, struct call *call);

/* Hands revocations that are new, and the keys, to what checks tokens in this process. */
err users_follow(void *self, struct call *call);

/* Writes down which API keys were used, as far as this process checks them. */
err users_note_key_uses(void *self, struct call *call);

/* Makes the admin of BOOTSTRAP_ADMIN_EMAIL, where there is no admin. Of replicas that start
 * together one makes it. */
err users_make_first_admin(void *self, struct call *call);

/* Reads the folder of the keys again, and removes those that are not needed any more. */
err users_reload_keys(void *self, struct call *call);
