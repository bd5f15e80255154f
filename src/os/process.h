/* What Linux says of this process: for metrics, and for how it talks to people. */
#pragma once
#include "base/time.h"

/* Resident memory in bytes, CPU time of all its threads. 0 where /proc is not there. */
int64_t process_resident_bytes(void);
int64_t process_cpu_us(void);

/* When it was started (wall time, to 10 ms): the first answer stands. */
time_us process_started_at(void);

/* Its number, as others see it. */
int64_t process_id(void);

/* Tells whether a person sits at the descriptor (1: the log). */
bool process_on_terminal(int fd);

/* Asks for `wanted` open files where fewer are allowed; gives how many are now. */
int64_t process_raise_files(int64_t wanted);
