/* Who uses the simulated shop: shoppers who order, repeat, cancel and read; staff who stock, price,
 * ship and refund; the bank, which repeats itself. Each is a thread that asks a number of times. */
#pragma once
#include "tests/sim/client.h"

struct person {
    struct client_of_shop client;
    int asks;
    struct thread *thread;
    bool has_gone;            /* asks no more */
    const char *address_id;   /* of an account that has one; NULL */
    bool is_erased, is_first; /* of those of its kind */
};

/* Begins with one; the threads end by themselves. */
void shopper_start(struct person *shopper);
void staff_start(struct person *staff);
void bank_start(struct person *bank);

/* Looks after events that were put aside, and mends what refused them after a while. */
void operator_start(struct person *operator_);

/* Has all that were put aside tried again. */
void operator_requeue(struct client_of_shop *operator_);

/* Makes the products of the plan and the model's SKUs. */
void staff_open_shop(struct person *staff);

/* Imports a file and waits until it is done: once in a run. */
void staff_import(struct client_of_shop *staff);

/* Ends what only staff can end: gives the money of cancelled manual payments back. False where
 * there was nothing to do. */
bool staff_close_shop(struct person *staff);

/* Reads every order once more, as its buyer and as somebody else, and all lists. */
void people_read_all(struct person *shoppers, int shoppers_count, struct person *staff);

/* Gives a shopper an account of its own: registers, logs in, adds an address. */
void shopper_register(struct person *shopper);

/* Its account is suspended by staff, is seen to be of no use, and is restored. */
void shopper_be_suspended(struct person *shopper);

/* It asks to be forgotten; it asks for nothing more afterwards. */
void shopper_be_erased(struct person *shopper);
