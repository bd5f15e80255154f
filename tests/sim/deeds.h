/* What happened in a run, counted by kind: what people did, how the bank behaved, what the disk and
 * the power did. Seeds in which one of these never happens would say nothing about it. */
#pragma once

enum deed {
    DEED_FLASH_SALE, /* an order where there is one SKU */
    DEED_IMPORT,
    DEED_REFUND,
    DEED_RETRY, /* a key that has its answer is asked again */
    DEED_SUSPENSION,
    DEED_ERASURE,
    DEED_REQUEUED, /* a dead letter */
    /* How the bank behaves to an order: as its token says, but the last. */
    DEED_BANK_APPROVE,
    DEED_BANK_DECLINE,
    DEED_BANK_TIMEOUT,
    DEED_BANK_TIMEOUT_DECLINE,
    DEED_BANK_LATE,
    DEED_BANK_TWICE,
    DEED_BANK_WEBHOOK,
    DEED_BANK_WEBHOOK_DECLINE,
    DEED_BANK_WEBHOOK_LATE,
    DEED_BANK_EARLY,
    DEED_BANK_MANUAL,
    DEED_BANK_YES_AFTER_CANCEL,
    DEED_READ_FAILED,
    DEED_WRITE_FAILED,
    DEED_NO_ROOM,
    DEED_SYNC_FAILED,
    DEED_SECTORS_LOST, /* by a power cut */
    DEED_KILLED_AT_IO,
    DEED_KILLED_AT_COMMIT,
    DEED_KILLED_AT_MESSAGE,
    DEED_KILLED_AT_ANSWER,
    DEED_KILLED_ALONE, /* one service of those that run apart */
    DEED_KILLED_TOGETHER,
    DEEDS_COUNT
};

/* Counts one of a kind. */
void deed(enum deed deed);

/* How the bank behaves by a token of the simulated provider. */
void deed_of_token(const char *token);

/* The counts since deeds_open, and their names. */
void deeds_open(void);
extern int deeds[DEEDS_COUNT];
extern const char *const deed_names[DEEDS_COUNT];
