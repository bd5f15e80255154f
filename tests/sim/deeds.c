#include "tests/sim/deeds.h"
#include <string.h>

int deeds[DEEDS_COUNT];

const char *const deed_names[DEEDS_COUNT] = {
    [DEED_FLASH_SALE] = "flash-sale",
    [DEED_IMPORT] = "import",
    [DEED_REFUND] = "refund",
    [DEED_RETRY] = "retry",
    [DEED_SUSPENSION] = "suspension",
    [DEED_ERASURE] = "erasure",
    [DEED_REQUEUED] = "requeued",
    [DEED_BANK_APPROVE] = "approve",
    [DEED_BANK_DECLINE] = "decline",
    [DEED_BANK_TIMEOUT] = "timeout",
    [DEED_BANK_TIMEOUT_DECLINE] = "timeout-decline",
    [DEED_BANK_LATE] = "late",
    [DEED_BANK_TWICE] = "twice",
    [DEED_BANK_WEBHOOK] = "webhook",
    [DEED_BANK_WEBHOOK_DECLINE] = "webhook-decline",
    [DEED_BANK_WEBHOOK_LATE] = "webhook-late",
    [DEED_BANK_EARLY] = "early",
    [DEED_BANK_MANUAL] = "manual",
    [DEED_BANK_YES_AFTER_CANCEL] = "yes-after-cancel",
    [DEED_READ_FAILED] = "read-failed",
    [DEED_WRITE_FAILED] = "write-failed",
    [DEED_NO_ROOM] = "no-room",
    [DEED_SYNC_FAILED] = "sync-failed",
    [DEED_SECTORS_LOST] = "sectors-lost",
    [DEED_KILLED_AT_IO] = "killed-at-io",
    [DEED_KILLED_AT_COMMIT] = "killed-at-commit",
    [DEED_KILLED_AT_MESSAGE] = "killed-at-message",
    [DEED_KILLED_AT_ANSWER] = "killed-at-answer",
    [DEED_KILLED_ALONE] = "killed-alone",
    [DEED_KILLED_TOGETHER] = "killed-together",
};

void deeds_open(void) { memset(deeds, 0, sizeof deeds); }

void deed(enum deed deed) { deeds[deed]++; }

void deed_of_token(const char *token)
{
    for (int i = DEED_BANK_APPROVE; i <= DEED_BANK_MANUAL; i++)
        if (strcmp(token, deed_names[i]) == 0)
            deed((enum deed)i);
}
