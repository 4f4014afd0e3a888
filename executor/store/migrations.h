/* The numbered schema changes, embedded at build time out of migrations/NNN_name.sql. */
#pragma once

struct migration {
    unsigned number; /* 1, 2, 3 ... */
    const char *name;
    const char *sql;
};

extern const struct migration migrations[];
extern const unsigned n_migrations;
