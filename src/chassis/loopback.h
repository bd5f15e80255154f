/* Requests that come from inside the process and go through the same door as those from outside:
 * what the simulated provider calls back with. */
#pragma once
#include "chassis/service.h"

/* Posts JSON to a path of the service with one header more; the answer is dropped. Any thread. */
void loopback_post(struct service *service, str path, struct header header, str body);
