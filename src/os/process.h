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

/* Tells the service manager that started us (systemd), at the socket that it named (a path, or an
 * abstract name behind @), how we are: READY=1, STOPPING=1, RELOADING=1. What it cannot hear is not
 * told; an empty socket is nobody. sd_notify(3) tells the protocol, one datagram, as stable;
 * libsystemd would come for it alone. */
void process_notify_manager(str socket, str state);
