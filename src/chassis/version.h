/* Which Duka this is. */
#pragma once
#include "base/str.h"

/* For --version: "0.1.0 (commit 1a2b3c4d5e6f, SQLite 3.40.1, gcc 12.2.0)". */
str version_line(struct arena *arena);

/* The number alone: "0.1.0". */
str version_number(void);

/* The same as an object of JSON: version, commit, sqlite, compiler. */
str version_json(struct arena *arena);
