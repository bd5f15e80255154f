/* The life of one order beside a model of the bank and of the warehouse: news of the payment come
 * late, twice and out of order, answers are lost, people do things at any moment. */
#pragma once
#include "services/orders/order.h"

/* Lives one life that the seed chooses, until nothing is left to do; adds the moves to *moves. NULL
 * if the books agree all the time, else what does not. */
const char *bank_live(struct arena *arena, uint64_t seed, int *moves);
